"""The reporter in one process with an exporter that works: what is said arrives, once, in order, the latest value last."""

from __future__ import annotations

import copy
import logging
import os
import shlex
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from headway import Reporter
from headway.reporter.creation import create_time
from headway.reporter.hub import hub
from recording_server import RecordingServer, recording_server
from waiting import wait_until

HEAVY = ("requests", "urllib3", "ssl", "socket", "http", "json", "logging", "asyncio", "typing", "dataclasses", "re", "msgspec")


@pytest.mark.parametrize("name", ["Reporter", "Cancelled"])
def test_import_is_light(name: str) -> None:
    code = f"import sys; before = set(sys.modules); from headway import {name}; print(*(set(sys.modules) - before))"
    loaded = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, env=bare()
    ).stdout.split()
    assert "headway.reporter.reporter" in loaded
    assert not [module for module in loaded if module.partition(".")[0] in HEAVY]


def test_creating_and_updating_imports_nothing_heavy_in_the_script() -> None:
    """With reporting off there is no thread: whatever is imported then, the script imports."""
    code = "import sys; from headway import Reporter, track\nr = Reporter('x', total=2)\nr.update(1, 'line')\nprint(*sys.modules)"
    environ = bare() | {"HEADWAY_URL": "off"}
    loaded = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, env=environ
    ).stdout.split()
    assert not {"requests", "ssl", "json", "logging", "asyncio", "dataclasses"} & set(loaded)


def bare() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(__file__).parents[1] / "exporter"), "PATH": os.environ["PATH"]}


def test_life_of_a_process(server: RecordingServer) -> None:
    reporter = Reporter("Backfill", "pipeline", total=80, unit="sessions", project="nlp", metadata={"model": "m1"}, stage="load")
    creation = server.creation(reporter.id)
    me = psutil.Process()
    assert creation["name"] == "Backfill"
    assert creation["type"] == "pipeline"
    assert creation["progress"] == {"current": 0, "total": 80, "unit": "sessions"}
    assert creation["project"] == "nlp"
    assert creation["metadata"] == {"model": "m1"}
    assert creation["stage"] == "load"
    assert creation["pid"] == os.getpid()
    assert creation["create_time"] == pytest.approx(me.create_time(), abs=0.011)
    assert creation["pid_namespace"] == Path("/proc/self/ns/pid").stat().st_ino
    assert creation["host"] == os.uname().nodename
    assert creation["user"] == me.username()
    assert creation["cwd"] == str(Path.cwd())
    assert creation["command"] == shlex.join(sys.orig_argv)
    assert 0 <= creation["started_age"] < 5

    reporter.update(5, "read 5")
    wait_until(lambda: server.state(reporter.id)["progress"].get("current") == 5, what="progress")
    reporter.update(stage="write", metadata={"tokens": {"in": 7}, "model": None})
    reporter.update(6, total=90, unit="files", summary="so far")
    reporter.estimate(rate=120, eta_seconds=60)
    reporter.limit(timeout="1h")
    reporter.done("80 sessions")
    final = server.final(reporter.id)
    assert final["status"] == "done"
    state = server.state(reporter.id)
    assert state["progress"] == {"current": 6, "total": 90, "unit": "files"}
    assert state["stage"] == "write"
    assert state["summary"] == "80 sessions"
    assert state["log"] == ["read 5"]
    assert state["metadata"] == {"tokens": {"in": 7}, "model": None}
    assert state["rate"] == 120
    assert state["eta_seconds"] == 60
    assert state["timeout"] == 3600
    wait_until(lambda: not hub().reporters, what="the reporter is forgotten")


def test_creation_does_not_wait_for_the_interval(server: RecordingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_INTERVAL", "60")
    started = time.monotonic()
    with Reporter("quick") as reporter:
        server.creation(reporter.id)
    server.final(reporter.id)
    assert time.monotonic() - started < 30


def test_many_reporters_share_requests(server: RecordingServer) -> None:
    reporters = [Reporter(f"r{i}", total=10) for i in range(300)]
    for reporter in reporters:
        reporter.update(10)
        reporter.done()
    for reporter in reporters:
        server.final(reporter.id)
        assert server.state(reporter.id)["progress"]["current"] == 10
    assert len(server.requests) < 40
    assert {request["path"] for request in server.requests} == {"/api/processes/batch"}


def test_latest_value_wins_and_updates_are_sent_about_once_an_interval(server: RecordingServer) -> None:
    reporter = Reporter("fast")
    begun = time.monotonic()
    n = 0
    while time.monotonic() < begun + 1.0 or n <= 100_000:
        n += 1
        reporter.update(n)
    took = time.monotonic() - begun
    reporter.done()
    server.final(reporter.id)
    assert server.state(reporter.id)["progress"]["current"] == n
    assert len(server.of(reporter.id)) < 25 * took


def test_sequence_numbers_grow_and_ages_are_those_of_the_events(server: RecordingServer) -> None:
    server.delay = 0.4
    reporter = Reporter("aged")
    reporter.update(1)
    reporter.done()
    final = server.final(reporter.id)
    sequence = [item["seq"] for item in server.of(reporter.id)]
    assert sequence == sorted(set(sequence))
    assert all(0 < number < 2**53 for number in sequence)
    assert 0 <= final["age"] < 5


def test_log_lines_keep_their_order_and_losses_are_counted(server: RecordingServer) -> None:
    reporter = Reporter("noisy")
    server.creation(reporter.id)
    server.delay = 0.5
    for i in range(5000):
        reporter.log(f"line {i}")
    reporter.log("two\nlines\n")
    reporter.update(line="last")
    reporter.done()
    server.final(reporter.id)
    log = server.state(reporter.id)["log"]
    dropped = sum(int(line.split()[1]) for line in log if line.startswith("…"))
    kept = [line for line in log if not line.startswith("…")]
    assert kept[-3:] == ["two", "lines", "last"]
    assert dropped > 0
    assert dropped + len(kept) == 5003
    numbers = [int(line.split()[1]) for line in kept[:-3]]
    assert numbers == sorted(numbers)


def test_context_manager(server: RecordingServer) -> None:
    with Reporter("good") as good:
        pass
    assert server.final(good.id)["status"] == "done"

    with pytest.raises(ValueError, match="no such file"), Reporter("bad") as bad:
        raise ValueError("no such file")
    final = server.final(bad.id)
    assert final["status"] == "failed"
    assert final["error"] == "ValueError: no such file"
    assert server.state(bad.id)["log"][-1] == "ValueError: no such file"
    assert any('raise ValueError("no such file")' in line for line in server.state(bad.id)["log"])

    with pytest.raises(KeyboardInterrupt), Reporter("interrupted") as interrupted:
        raise KeyboardInterrupt
    assert server.final(interrupted.id)["status"] == "cancelled"

    for code, status, exit_code, error in (
        (0, "done", None, None),
        (None, "done", None, None),
        (3, "failed", 3, "ended with exit code 3"),
        ("wrong input", "failed", 1, "wrong input"),
    ):
        with pytest.raises(SystemExit), Reporter("exits") as exits:
            sys.exit(code)
        final = server.final(exits.id)
        assert final["status"] == status
        assert final.get("exit_code") == exit_code
        assert final.get("error") == error


def test_the_first_end_counts(server: RecordingServer) -> None:
    with Reporter("told") as reporter:
        reporter.fail("it was told", exit_code=7)
        assert reporter.ended
        reporter.done()
        reporter.update(5, "after the end")
    final = server.final(reporter.id)
    assert (final["status"], final["error"], final["exit_code"]) == ("failed", "it was told", 7)
    wait_until(lambda: not hub().reporters, what="the reporter is forgotten")
    assert server.state(reporter.id)["statuses"] == ["failed"]


def test_an_exception_whose_text_fails(server: RecordingServer) -> None:
    class Awkward(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    with pytest.raises(Awkward), Reporter("awkward") as reporter:
        raise Awkward
    assert server.final(reporter.id)["error"] == "Awkward"


def test_children_inherit_what_they_belong_to(server: RecordingServer) -> None:
    parent = Reporter("parent", project="p", task="t", agent="a", user="u")
    with parent.child("kid", "subagent", total=3, attempt="2") as kid:
        grandchild = kid.child("grandchild", project="other")
        grandchild.done()
    creation = server.creation(kid.id)
    assert {k: creation[k] for k in ("parent_id", "type", "project", "task", "agent", "attempt", "user")} == {
        "parent_id": parent.id,
        "type": "subagent",
        "project": "p",
        "task": "t",
        "agent": "a",
        "attempt": "2",
        "user": "u",
    }
    assert server.creation(grandchild.id)["project"] == "other"
    assert server.creation(grandchild.id)["parent_id"] == kid.id
    first = [item["id"] for item in server.items if "create" in item]
    assert first.index(parent.id) < first.index(kid.id) < first.index(grandchild.id)


def test_queued_start_pause_resume(server: RecordingServer) -> None:
    queued = Reporter("queued", queued=True)
    assert server.creation(queued.id)["status"] == "queued"
    queued.start()
    wait_until(lambda: server.state(queued.id)["statuses"] == ["running"], what="start")
    queued.pause()
    wait_until(lambda: server.state(queued.id)["statuses"] == ["running", "paused"], what="pause")
    queued.resume()
    queued.done()
    server.final(queued.id)
    assert server.state(queued.id)["statuses"] == ["running", "paused", "running", "done"]

    quick = Reporter("quick", queued=True, stage="waits")
    quick.update(stage="")
    quick.start(os.getppid())
    quick.pause()
    wait_until(lambda: server.state(quick.id)["statuses"] == ["running", "paused"], what="no status is left out")
    begun = next(item for item in server.of(quick.id) if item.get("status") == "running")
    assert begun["create"]["pid"] == os.getpid() and (begun["pid"], begun["create_time"]) == (
        os.getppid(),
        pytest.approx(create_time(os.getppid())),
    )
    wait_until(lambda: server.state(quick.id)["stage"] is None, what="no stage")
    wrong = Reporter("wrong", queued=True)
    wrong.start(-1)
    wait_until(lambda: server.state(wrong.id)["statuses"] == ["running"], what="it begins all the same")
    assert not any("pid" in item for item in server.of(wrong.id))

    implied = Reporter("implied", total=5, queued=True)
    implied.update(1)
    wait_until(lambda: server.state(implied.id)["statuses"] == ["running"], what="the first update starts it")
    never = Reporter("never", queued=True)
    never.cancel("not needed")
    assert server.final(never.id)["error"] == "not needed"


def test_resumed_work_begins_where_it_was(server: RecordingServer) -> None:
    reporter = Reporter("resumed", total=100, current=40)
    assert server.creation(reporter.id)["progress"] == {"current": 40, "total": 100, "initial": 40}
    reporter.advance()
    reporter.advance(2)
    reporter.done()
    server.final(reporter.id)
    assert server.state(reporter.id)["progress"]["current"] == 43


def test_metadata_merges_as_the_exporter_does(server: RecordingServer) -> None:
    reporter = Reporter("metadata")
    server.creation(reporter.id)
    server.delay = 0.3
    reporter.update(metadata={"tokens": {"in": 1}, "a": 1})
    reporter.update(metadata={"tokens": {"out": 2}, "a": None})
    reporter.done()
    server.final(reporter.id)
    merged: dict[str, object] = {}
    for item in server.of(reporter.id):
        merged |= item.get("metadata", {})
    assert merged == {"tokens": {"in": 1, "out": 2}, "a": None}


def test_wrong_values_are_left_out_with_one_warning(server: RecordingServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "headway")
    reporter = Reporter("wrong", "nonsense", total="many", id="a/b", timeout="soon", thresholds={"stuck": 5})  # type: ignore[arg-type]
    reporter.update(3)
    wait_until(lambda: server.state(reporter.id)["progress"].get("current") == 3, what="progress")
    for value in ("five", [1], float("nan"), -1, 2**60, True, object()):
        reporter.update(value)  # type: ignore[arg-type]
        reporter.update(total=value, stage=object(), metadata=5)  # type: ignore[arg-type]
    reporter.log(None)  # type: ignore[arg-type]
    reporter.log(b"bytes \xff")  # type: ignore[arg-type]
    reporter.advance("x")  # type: ignore[arg-type]
    reporter.limit(expected_duration="-5")
    reporter.done(7)  # type: ignore[arg-type]
    server.final(reporter.id)
    creation = server.creation(reporter.id)
    assert creation["type"] == "task"
    assert not {"timeout", "thresholds"} & creation.keys()
    assert "total" not in creation.get("progress", {})
    state = server.state(reporter.id)
    assert state["progress"]["current"] == 3
    assert state["summary"] == "7"
    assert state["log"] == ["None", "bytes �"]
    warned = [record.getMessage() for record in caplog.records]
    for field in ("type", "current", "total", "timeout", "thresholds", "id of", "metadata", "expected_duration"):
        assert len([text for text in warned if text.startswith(f"headway: {field}")]) == 1, (field, warned)


def test_numbers_of_other_libraries(server: RecordingServer) -> None:
    from decimal import Decimal
    from fractions import Fraction

    import numpy as np

    for value, shown in (
        (np.int64(7), 7),
        (np.float32(0.5), 0.5),
        (Decimal("2.5"), 2.5),
        (Fraction(1, 4), 0.25),
        (np.array(3), 3),
    ):
        reporter = Reporter("numbers")
        reporter.update(value)
        reporter.done()
        server.final(reporter.id)
        assert server.state(reporter.id)["progress"]["current"] == shown


def test_hostile_text_arrives(server: RecordingServer) -> None:
    text = 'quote " newline \\ emoji 🎈 surrogate \ud800 control \x00 end'
    with Reporter(text, stage=text, metadata={text: {1: text, "nan": float("nan"), "set": {1}}}) as reporter:
        reporter.log(text)
        reporter.log("x" * 100_000)
    server.final(reporter.id)
    shown = text.replace("\ud800", "?")
    assert server.creation(reporter.id)["name"] == shown
    assert server.creation(reporter.id)["metadata"] == {shown: {"1": shown, "nan": "nan", "set": [1]}}
    log = server.state(reporter.id)["log"]
    assert log[0] == shown
    assert len(log[1]) == 8192


def test_heartbeats_renew_the_lease(server: RecordingServer) -> None:
    reporter = Reporter("leased", lease=0.4)
    wait_until(lambda: len(server.of(reporter.id)) >= 4, what="heartbeats")
    beats = [item for item in server.of(reporter.id) if "create" not in item]
    assert all(item["alive"] is True and item.keys() == {"id", "seq", "age", "alive"} for item in beats)
    assert server.creation(reporter.id)["lease"] == 0.4
    reporter.done()


def test_what_can_be_cancelled_asks_every_second(server: RecordingServer) -> None:
    reporter = Reporter("patient", cancellable=True)
    # On a loaded machine some come late; every fifth second, as of others that are silent, none would come so soon.
    times: list[float] = []

    def soon() -> bool:
        times[:] = [request["at"] for request in server.requests]
        return any(0.5 < later - earlier < 2.5 for earlier, later in pairwise(times))

    wait_until(soon, what="two heartbeats within two seconds")
    reporter.done()


def test_a_copy_is_the_same_reporter(server: RecordingServer) -> None:
    import pickle

    reporter = Reporter("copied")
    assert copy.copy(reporter) is reporter
    assert copy.deepcopy({"r": reporter})["r"] is reporter
    assert pickle.loads(pickle.dumps(reporter)) is reporter
    assert reporter.id in repr(reporter)
    reporter.done()


def test_off_reports_nothing(server: RecordingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWAY_URL", "off")
    with Reporter("nobody", total=5) as reporter:
        reporter.update(5, "line", metadata={"a": 1})
        with reporter.child("kid"):
            pass
    assert hub()._thread is None
    assert not hub().reporters


def test_the_key_is_sent_and_never_the_environment(
    server: RecordingServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "s3cr3t-value")
    path = tmp_path / "key"
    path.write_text("hw_from_file\n")
    monkeypatch.setenv("HEADWAY_KEY_FILE", str(path))
    with Reporter("with a key file") as first:
        pass
    server.final(first.id)
    monkeypatch.setenv("HEADWAY_KEY", "hw_from_env")
    with Reporter("with a key in the environment", key=None, url=f"{server.url}/") as second:
        pass
    server.final(second.id)
    with Reporter("with an argument", key="hw_argument") as third:
        pass
    server.final(third.id)
    keys = [request["headers"].get("Authorization") for request in server.requests]
    assert keys[0] == "Bearer hw_from_file"
    assert keys[-1] == "Bearer hw_argument"
    assert server.requests[0]["headers"]["User-Agent"].startswith("headway/")
    assert "s3cr3t-value" not in str(server.items)


def test_two_exporters(server: RecordingServer) -> None:
    with recording_server() as other:
        with Reporter("here") as here, Reporter("there", url=other.url) as there:
            here.update(1)
            there.update(2)
        assert server.final(here.id)
        assert other.final(there.id)
        assert not server.of(there.id)


def test_long_texts_are_kept_as_lines_of_bounded_length(server: RecordingServer) -> None:
    """A script that logs whole files must not keep them alive while the exporter is away."""
    server.status = 503
    reporter = Reporter("files")
    text = "\n".join(f"{i} " + "x" * 9000 for i in range(2000))
    for _ in range(20):
        reporter.log(text)
        reporter.log(b"bytes " + b"y" * 1_000_000)  # type: ignore[arg-type]
    assert sum(len(line) for line in reporter._lines) <= 500 * 8192
    server.status = 200
    reporter.done()
    server.final(reporter.id)
    log = server.state(reporter.id)["log"]
    dropped = sum(int(line.split()[1]) for line in log if line.startswith("…"))
    kept = [line for line in log if not line.startswith("…")]
    assert dropped + len(kept) == 20 * 2001
    assert kept[-1].startswith("bytes yyy")
    assert max(map(len, kept)) == 8192


def test_what_another_program_used_is_said_with_its_end(server: RecordingServer, caplog: pytest.LogCaptureFixture) -> None:
    told: dict[str, object] = {
        "good": {"cpu_seconds": 1.5, "io_read_bytes": 4096.0},
        "nothing": {},
        "negative": {"cpu_seconds": -1},
        "unknown": {"seconds": 1},
        "text": "1.5 s",
    }
    for process_id, used in told.items():
        Reporter(process_id, id=process_id, pid=False).end("failed", exit_code=3, used=used)  # type: ignore[arg-type]
    finals = {process_id: server.final(process_id) for process_id in told}
    assert finals["good"]["used"] == {"cpu_seconds": 1.5, "io_read_bytes": 4096}
    assert all("used" not in final and final["exit_code"] == 3 for process_id, final in finals.items() if process_id != "good")
    warnings = [record.getMessage() for record in caplog.records]
    assert sum("used of" in warning for warning in warnings) == 3, warnings
