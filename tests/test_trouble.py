"""When the disk fails: what was acknowledged stays, what cannot be stored is refused and undone, metrics keep working."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from browsing import Visitor
from calling import Api
from cli import HEADWAY, headway, on_terminal
from running import RunningExporter, Starter
from waiting import wait_until

NEW = {"name": "job", "type": "task"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def ready(exporter: RunningExporter) -> tuple[int, str]:
    status, body = Api(exporter).request("GET", "/ready")
    return status, body.get("detail", "")


def test_a_full_disk_refuses_and_undoes_and_recovers(start_exporter: Starter, small_disk: Path, browser: Browser) -> None:
    exporter = start_exporter(data_dir=small_disk / "data")
    api = Api(exporter)
    api.create(id="before")
    visitor = Visitor(browser, exporter)
    notice = visitor.open("/attention").locator("#notice")
    expect(notice).to_be_hidden()
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    wait_until(lambda: api.request("POST", "/api/processes", NEW | {"description": "x" * 4000})[0] == 507, what="a refusal")
    status, problem = api.request("PATCH", "/api/processes/before", {"status": "done", "summary": "y" * 4000})
    assert status == 507 and "disk" in problem["detail"], problem
    assert api.get("before")["status"] == "running", "undone"
    code, detail = ready(exporter)
    assert code == 503 and detail
    metrics = api.raw("GET", "/metrics").text
    assert 'id="before"' in metrics and "headway_store_up 0" in metrics
    told = "nothing is being stored since "
    page = api.raw("GET", "/history", headers={"Accept": "text/html"}).text
    assert told in page and "what is reported now is refused: the disk that holds" in page
    listed = headway("ps", "--url", exporter.url, environ={"HEADWAY_KEY": exporter.key})
    assert told in listed.stderr, listed.stderr
    of_one = headway("ps", "--name", "before", "--url", exporter.url, environ={"HEADWAY_KEY": exporter.key})
    analysed = headway("analyze", "--json", "--url", exporter.url, environ={"HEADWAY_KEY": exporter.key})
    assert told in of_one.stderr and told in analysed.stderr and told in json.loads(analysed.stdout)["notice"]
    with on_terminal("ps", "--watch", environ={"HEADWAY_URL": exporter.url}) as watch:
        wait_until(lambda: told in watch.text, what="the notice above the table")
    piped = [HEADWAY, "ps", "--watch", "--url", exporter.url]
    with subprocess.Popen(piped, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None and told in child.stderr.readline()
        child.terminate()
    assert told in api.raw("GET", "/api/processes/report").text.splitlines()[0]
    expect(notice).to_contain_text(told)
    filler.unlink()
    # Nobody reports anything, and nobody asks whether it is ready.
    wait_until(lambda: "headway_store_up 1" in api.raw("GET", "/metrics").text, what="it is noticed that the disk has room again")
    assert told not in api.raw("GET", "/history", headers={"Accept": "text/html"}).text
    expect(notice).to_be_hidden()
    visitor.close()
    wait_until(lambda: ready(exporter)[0] == 200, what="readiness after the disk has room again")
    api.update("before", status="done")
    exporter.restart()
    assert Api(exporter).get("before")["status"] == "done"


@pytest.mark.parametrize("where", ["header", "middle"])
def test_a_corrupt_database_is_left_alone_and_said(start_exporter: Starter, tmp_path: Path, where: str) -> None:
    data_dir = tmp_path / "data"
    exporter = start_exporter(data_dir=data_dir)
    api = Api(exporter)
    for number in range(50):
        api.create(id=f"p{number}", description="x" * 1000)
    exporter.stop()
    database = data_dir / "headway.db"
    content = bytearray(database.read_bytes())
    start = 0 if where == "header" else len(content) // 2 // 4096 * 4096
    content[start : start + 8192] = b"\xa5" * 8192
    database.write_bytes(content)
    exporter.start()
    api = Api(exporter)
    code, detail = ready(exporter)
    assert code == 503 and "headway.db" in detail, detail
    status, problem = api.request("POST", "/api/processes", NEW)
    assert status in (503, 507) and "headway.db" in problem["detail"]
    assert "headway_store_up 0" in api.raw("GET", "/metrics").text
    exporter.stop()
    assert database.read_bytes() == bytes(content), "not a byte is overwritten"


def test_one_exporter_for_each_data_directory(start_exporter: Starter, tmp_path: Path) -> None:
    exporter = start_exporter(data_dir=tmp_path / "data")
    with pytest.raises(AssertionError, match=rf"(?s)did not become ready.*{exporter.process.pid if exporter.process else ''}"):
        start_exporter(data_dir=tmp_path / "data")


def test_a_busy_port_is_named_and_no_file_is_made(start_exporter: Starter, tmp_path: Path) -> None:
    exporter = start_exporter()
    with pytest.raises(AssertionError, match=f"cannot listen on 127.0.0.1:{exporter.port}.*HEADWAY_LISTEN"):
        start_exporter("--listen", f"127.0.0.1:{exporter.port}", data_dir=tmp_path / "second")
    assert not (tmp_path / "second").exists()
