"""What was acknowledged is there after a kill -9, whole, and it reached the disk: the proof."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from headway.model import Process, Status
from headway.store.base import Query
from headway.store.sqlite import SQLiteStore
from running import RunningExporter
from storm import NAME, exporter, fingerprint, line_text, storm
from waiting import wait_until

KILLS = 20
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["headway.server", "pytest", "storm"])


@dataclass
class Acknowledged:
    """The status that each process was last said to have."""

    statuses: dict[str, str] = field(default_factory=dict)
    ends: int = 0

    def __call__(self, process_id: str, status: str) -> None:
        self.statuses[process_id] = status
        self.ends += status == "done"


@contextmanager
def child(target: Callable[..., None], *args: Any) -> Iterator[ForkServerProcess]:
    started = FORKS.Process(target=target, args=args, daemon=True)
    started.start()
    try:
        yield started
    finally:
        started.kill()
        started.join(30)
        assert started.exitcode is not None


def assert_whole(path: Path, said: Acknowledged, period: int) -> None:
    """Everything that was acknowledged is there, and nothing is there in part. `period`: the i-th process of a client said
    i % period - 1 lines before its end."""
    store = SQLiteStore(path)
    processes: dict[str, Process] = {p.id: p for p in store.list(Query(limit=10**6))}
    for process_id, status in said.statuses.items():
        assert process_id in processes, f"{process_id} was acknowledged and is gone"
        found = processes[process_id].status.value
        assert found == status or (status, found) == ("running", "done"), f"{process_id} was {status}, is {found}"
    done = 0
    for process in processes.values():
        assert process.metadata["fingerprint"] == fingerprint(process.id)
        changes = [change.after for change in store.transitions(process.id)]
        assert changes in ([Status.RUNNING], [Status.RUNNING, Status.DONE]) and changes[-1] is process.status, process.id
        lines = store.lines(process.id, 999)
        assert [line.text for line in lines] == [line_text(process.id, n) for n in range(1, len(lines) + 1)]
        if process.status is Status.DONE:
            told = max(0, int(process.id.rsplit("-", 1)[1]) % period - 1)
            assert len(lines) == told, f"{process.id} has ended, and of its {told} lines there are {len(lines)}"
            assert process.activity.current == (float(told) or None)
            done += 1
    totals = [stats for stats in store.load(done_since=0).names if stats.name == NAME]
    assert sum(stats.finished.get(Status.DONE, 0) for stats in totals) == done, "totals and ends were not written together"
    store.close()


def test_a_store_killed_twenty_times_keeps_all_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "headway.db"
    said, chance = Acknowledged(), random.Random(1)
    for round in range(KILLS):
        receiving, sending = FORKS.Pipe(duplex=False)
        with child(storm, path, round, sending) as running:
            sending.close()
            count = chance.randrange(1, 120)
            with suppress(EOFError):
                while True:
                    process_id, status = receiving.recv_bytes().decode().split()
                    said(process_id, status)
                    count -= 1
                    if count == 0:
                        running.kill()  # what is in the pipe by now was acknowledged too: read on to its end
        assert count <= 0, "the storm ended by itself"
        if round in (0, KILLS // 2, KILLS - 1):
            assert_whole(path, said, period=7)
    assert len(said.statuses) > KILLS and said.ends > KILLS


# ── over HTTP ───────────────────────────────────────────────────────────────────────────────────────────────────────


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Client:
    """One connection, as a reporter has it."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        headers = {} if body is None else {"Content-Type": "application/json"}
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def storm(self, prefix: str, said: Callable[[str, str], None]) -> None:
        """Reports until the exporter is gone."""
        with suppress(OSError, http.client.HTTPException):
            for i in range(10**6):
                process_id = f"{prefix}-{i}"
                metadata = {"fingerprint": fingerprint(process_id)}
                form = {"id": process_id, "name": NAME, "type": "task", "metadata": metadata}
                status, _ = self.call("POST", "/api/processes", form)
                assert status == 201
                said(process_id, "running")
                for n in range(1, i % 4):
                    update = {"log": line_text(process_id, n), "progress": {"current": n}}
                    self.call("PATCH", f"/api/processes/{process_id}", update)
                if i % 3:
                    status, _ = self.call("PATCH", f"/api/processes/{process_id}", {"status": "done", "summary": "fine"})
                    assert status == 200
                    said(process_id, "done")


def is_ready(port: int) -> bool:
    with suppress(OSError, http.client.HTTPException):
        return Client(port).call("GET", "/ready")[0] == 200
    return False


def has(said: Acknowledged, count: int) -> bool:
    return len(said.statuses) >= count


def test_an_exporter_killed_twenty_times_keeps_all_it_acknowledged(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    said, chance = Acknowledged(), random.Random(2)
    for round in range(KILLS):
        with child(exporter, data, port) as running:
            wait_until(lambda: is_ready(port), what="the exporter is ready")
            clients = [threading.Thread(target=Client(port).storm, args=(f"{round}-{n}", said)) for n in range(6)]
            for client in clients:
                client.start()
            enough = len(said.statuses) + chance.randrange(1, 40)
            wait_until(partial(has, said, enough), what="the storm", interval=0.001)
            running.kill()
            for client in clients:
                client.join(30)
    assert said.ends > KILLS
    last = RunningExporter(data).start()  # by its command, and asked over HTTP
    try:
        reader = Client(last.port)
        for process_id, status in random.Random(3).sample(sorted(said.statuses.items()), 100):
            code, answer = reader.call("GET", f"/api/processes/{process_id}")
            assert code == 200 and answer["data"]["status"] in (status, "done"), process_id
        assert last.stop() == 0
    finally:
        last.kill()
    assert_whole(data / "headway.db", said, period=4)


def test_lines_and_progress_told_before_an_end_are_there_when_it_is_acknowledged(tmp_path: Path) -> None:
    """Everything within a moment, long before anything of it would be written behind."""
    data, port = tmp_path / "data", free_port()
    with child(exporter, data, port) as running:
        wait_until(lambda: is_ready(port), what="the exporter is ready")
        client = Client(port)
        form = {"id": "a", "name": NAME, "type": "task", "progress": {"current": 0, "total": 9}}
        assert client.call("POST", "/api/processes", form)[0] == 201
        assert client.call("PATCH", "/api/processes/a", {"log": ["one", "two"]})[0] == 200
        for current in (3, 7):  # which say nothing else, and so are no record until somebody looks
            items = {"items": [{"id": "a", "progress": {"current": current}}]}
            assert client.call("POST", "/api/processes/batch", items)[0] == 200
        items = {"items": [{"id": "a", "log": "three"}, {"id": "a", "status": "failed", "error": "no", "log": "four"}]}
        assert client.call("POST", "/api/processes/batch", items)[0] == 200
        running.kill()
    store = SQLiteStore(data / "headway.db")
    found = store.get("a")
    assert found is not None and found.status is Status.FAILED and found.activity.current == 7
    assert [line.text for line in store.lines("a", 9)] == ["one", "two", "three", "four"]
    store.close()


# ── down to the disk ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def strace(tmp_path: Path) -> list[str]:
    """The command that counts syncs, into the file tmp_path/trace; skips where it may not trace."""
    command = ["strace", "-f", "-qq", "-y", "-e", "trace=fsync,fdatasync", "-o", str(tmp_path / "trace")]
    if shutil.which("strace") is None:
        pytest.skip("there is no strace")
    tried = subprocess.run([*command, "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"tracing is denied here: {tried.stderr.strip()}")
    return command


def syncs(trace: Path) -> int:
    """Successful syncs of the database or its log."""
    return len(re.findall(r"f(?:data)?sync\(\d+<[^>]*/headway\.db(?:-wal)?>\) += 0", joined(trace.read_text())))


def joined(trace: str) -> str:
    """strace cuts a call in two when another thread gets between: `fdatasync(3</x> <unfinished ...>`, `… resumed>) = 0`."""
    open_calls: dict[str, str] = {}
    lines = []
    for line in trace.splitlines():
        thread, _, call = line.partition(" ")
        if call.endswith("<unfinished ...>"):
            open_calls[thread] = call.removesuffix(" <unfinished ...>").strip()
        elif "resumed>" in call:
            lines.append(open_calls.pop(thread, "") + call.split("resumed>")[1])
        else:
            lines.append(call)
    return "\n".join(lines)


@pytest.mark.parametrize(("pragma", "synced"), [("PRAGMA synchronous", True), ("PRAGMA synchronous = OFF", False)])
def test_every_group_of_commits_is_synced_to_the_disk(tmp_path: Path, strace: list[str], pragma: str, synced: bool) -> None:
    """The second half switches the syncs off, to show that this count would notice."""
    program = [sys.executable, str(Path(__file__).with_name("storm.py")), str(tmp_path / "headway.db"), "60", pragma]
    run = subprocess.run([*strace, *program], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    groups = int(run.stdout)
    assert groups == 60
    assert (syncs(tmp_path / "trace") >= groups) is synced


def test_every_creation_over_http_is_synced_to_the_disk(tmp_path: Path, strace: list[str]) -> None:
    running = RunningExporter(tmp_path / "data")
    popen = subprocess.Popen

    def traced(command: list[str], **options: Any) -> subprocess.Popen[str]:
        return popen([*strace, *command], **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", traced)
        running.start()
    try:
        client = Client(running.port)
        before = syncs(tmp_path / "trace")
        for i in range(40):
            form = {"id": f"p{i}", "name": NAME, "type": "task"}
            assert client.call("POST", "/api/processes", form)[0] == 201
            if i % 2:
                assert client.call("PATCH", f"/api/processes/p{i}", {"status": "done"})[0] == 200
        assert wait_until(lambda: syncs(tmp_path / "trace") - before >= 60, what="as many syncs as answers")
    finally:
        if running.process is not None:
            os.killpg(running.process.pid, signal.SIGKILL)  # strace and what it traces
            running.process.wait(30)
