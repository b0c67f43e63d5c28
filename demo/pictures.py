"""python -m demo.pictures: takes the pictures of docs/pictures: the exporter's own pages while the scripts of this folder run.

Everything is real: an exporter of its own with three services, earlier runs of a job, and the demonstration. Needs chromium and the
packages of the extra dev.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import requests
from playwright.sync_api import Page, sync_playwright

from headway.reporter.client import Client

FOLDER: Final = Path(__file__).parent.parent / "docs/pictures"
SERVICES: Final[dict[str, dict[str, Any]]] = {
    "db": {"command": "while :; do echo checkpoint complete; sleep 5; done", "group": "shop", "description": "orders and users"},
    "web": {"command": "exec python3 -m http.server {port} --bind 127.0.0.1", "depends_on": ["db"], "group": "shop"},
    "broken": {"command": "echo 'cannot read /etc/mailer.conf' >&2; exit 3", "restart": "never", "group": "mail"},
    "backup": {"command": "sleep 1", "schedule": "30 2 * * *"},
}
# Reports as a job of yours would.
BACKFILL: Final = r"""
import subprocess, time
from headway import Reporter
with Reporter("NLP Backfill", type="pipeline", total=120, unit="sessions", project="kira", metadata={"model": "small-2"}) as run:
    for number in range(1, 121):
        run.update(number, line=f"session {number} embedded, \x1b[32m{number * 7 % 90 + 10} turns\x1b[0m")
        subprocess.run(["sleep", "0.8"])
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def main() -> None:
    flags = argparse.ArgumentParser(prog="python -m demo.pictures", description=(__doc__ or "").partition(": ")[2])
    flags.parse_args()
    with tempfile.TemporaryDirectory() as folder, scene(Path(folder)) as (url, key):
        time.sleep(52)
        take(url, key, Client())


@contextmanager
def scene(folder: Path) -> Iterator[tuple[str, str]]:
    """An exporter under all this work: its address, and the administrator's key. Client() finds it."""
    port, web = free_port(), free_port()
    services = json.loads(json.dumps(SERVICES).replace("{port}", str(web)))
    services["web"]["port"] = web
    (folder / "headway.yaml").write_text(json.dumps({"services": services}))
    url, data = f"http://127.0.0.1:{port}", folder / "data"
    command = [sys.executable, "-m", "headway", "serve", "--listen", f"127.0.0.1:{port}", "--data-dir", str(data)]
    command += ["--config", f"{folder}/headway.yaml", "--stuck-after", "20s"]
    exporter = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    work: list[subprocess.Popen[bytes]] = []
    try:
        wait(lambda: requests.get(f"{url}/ready", timeout=5).ok)
        key = (data / "admin.key").read_text().strip()
        os.environ |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HEADWAY_URL": url,
            "HEADWAY_KEY": key,
            "HEADWAY_SPOOL": f"{folder}/spool",
            "DEMO_SECONDS": "100",
        }
        earlier(url, key)
        for what in (("-m", "demo"), ("-c", BACKFILL)):
            work.append(subprocess.Popen([sys.executable, *what], stdout=subprocess.DEVNULL))
        yield url, key
    finally:
        for child in work:
            child.terminate()
        for child in work:
            child.wait(30)
        with suppress(OSError):
            with_key = {"Authorization": f"Bearer {(data / 'admin.key').read_text().strip()}"}
            requests.post(f"{url}/api/processes/stop-all", json={}, headers=with_key, timeout=60)
        exporter.terminate()
        exporter.wait(30)


def wait(true: Any) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if true():
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.2)
    raise SystemExit("the exporter did not come up")


def earlier(url: str, key: str) -> None:
    """Runs of a job from before, and one that takes longer than they did."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {key}"

    def post(**fields: Any) -> None:
        session.post(f"{url}/api/processes", json=fields, timeout=20).raise_for_status()

    for number in range(4):
        post(id=f"report{number}", name="Weekly report", type="cron", started_age=70 + number)
        session.patch(f"{url}/api/processes/report{number}", json={"status": "done", "summary": "12 pages sent"}, timeout=20)
    post(id="weekly", name="Weekly report", type="cron", started_age=150, progress={"current": 7, "total": 12, "unit": "pages"})
    session.patch(f"{url}/api/processes/weekly", json={"log": "page 7: waiting for the figures of the warehouse"}, timeout=20)


def take(url: str, key: str, client: Client) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1360, "height": 800}, reduced_motion="reduce")
        page = context.new_page()
        page.goto(f"{url}/login")
        page.get_by_label("Key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_timeout(8000)
        picture(page, "active")
        page.emulate_media(color_scheme="dark")
        picture(page, "active-dark")
        page.emulate_media(color_scheme="light")
        names = {one["name"]: one["id"] for one in client.list(state="active", limit=100)}
        backfill = names["NLP Backfill"]
        ends = names.get("Pack system files", backfill)  # where a fast machine has packed already
        for name, path in (
            ("process", f"/processes/{backfill}"),
            ("services", "/services"),
            ("attention", "/attention"),
        ):
            page.goto(url + path)
            page.wait_for_timeout(3000)
            picture(page, name)
        page.goto(f"{url}/processes/{ends}?cancel")
        page.wait_for_timeout(2000)
        page.screenshot(path=FOLDER / "confirm.png", clip={"x": 0, "y": 0, "width": 1360, "height": 600})
        page.set_viewport_size({"width": 360, "height": 740})
        page.goto(url)
        page.wait_for_timeout(3000)
        page.screenshot(path=FOLDER / "phone.png")
        browser.close()


def picture(page: Page, name: str) -> None:
    height = page.evaluate("Math.min(document.body.scrollHeight, 960)")
    page.screenshot(path=FOLDER / f"{name}.png", clip={"x": 0, "y": 0, "width": 1360, "height": height}, full_page=True)


if __name__ == "__main__":
    main()
