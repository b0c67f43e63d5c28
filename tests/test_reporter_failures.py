"""The reporter with an exporter that is down, slow, restarting, full, refusing or no exporter at all: the script notices nothing,
is warned once, and what is still true arrives in the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from cli import headway
from headway import Client, Reporter
from headway.reporter import link, sender
from headway.reporter.client import ApiError
from headway.reporter.hub import hub
from recording_server import RecordingServer, recording_server
from reporting import fresh_hub, run_script
from running import Starter
from waiting import wait_until

# A busy machine may stop the whole process for a moment (s); an update that waited for a slow exporter would take longer.
HICCUP = 10.0


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[RecordingServer]:
    monkeypatch.setattr(link, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(link, "LONGEST_PAUSE", 0.3)
    with recording_server() as started, fresh_hub(monkeypatch, started.url, tmp_path / "spool"):
        yield started


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "headway")
    return caplog


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "headway"]


def busy(reporter: Reporter, seconds: float) -> float:
    """Updates as fast as possible for this long; the longest single update (s)."""
    end = time.perf_counter() + seconds
    longest, n, before = 0.0, 0, time.perf_counter()
    while before < end:
        n += 1
        reporter.update(n, stage="s" if n % 100 == 0 else None)
        now = time.perf_counter()
        longest = max(longest, now - before)
        before = now
    return longest


def test_down_then_up(server: RecordingServer, warnings: pytest.LogCaptureFixture) -> None:
    server.stop()
    started = time.monotonic()
    reporter = Reporter("patient", total=10, metadata={"a": 1})
    longest = busy(reporter, 0.5)
    for i in range(10):
        reporter.update(i + 1, f"line {i}")
    reporter.done("in spite of it")
    wait_until(lambda: messages(warnings), what="the warning")
    busy_until = time.monotonic()
    server.start()
    final = server.final(reporter.id)
    state = server.state(reporter.id)
    assert longest < HICCUP
    assert state["progress"] == {"current": 10, "total": 10}
    assert state["log"] == [f"line {i}" for i in range(10)]
    assert state["summary"] == "in spite of it"
    assert server.creation(reporter.id)["started_age"] >= busy_until - started - 0.05
    assert final["age"] <= time.monotonic() - started
    assert len(messages(warnings)) == 1
    assert "cannot be reached (Connection refused)" in messages(warnings)[0]
    wait_until(lambda: not hub().reporters, what="everything is delivered")


@pytest.mark.parametrize("status", [500, 502, 503, 507, 429, 401, 403, 404, 302])
def test_misbehaving_then_well(server: RecordingServer, warnings: pytest.LogCaptureFixture, status: int) -> None:
    server.status = status
    server.body = b'{"title": "No", "detail": "not today."}'
    reporter = Reporter("patient")
    reporter.update(3, "a line")
    wait_until(lambda: len(server.requests) >= 3, what="three tries")
    reporter.done()
    server.status = 200
    assert server.final(reporter.id)["status"] == "done"
    assert server.state(reporter.id)["progress"]["current"] == 3
    assert server.state(reporter.id)["log"] == ["a line"]
    (warning,) = messages(warnings)
    assert str(status) in warning
    assert "not today" in warning
    assert not {"?.", "..", ";."} & {warning[at : at + 2] for at in range(len(warning))}, warning
    if status in (401, 403):
        assert "HEADWAY_KEY" in warning


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"data": 5}', b'{"data": []}', b'{"data": [{"id": "x"}]}'])
def test_an_answer_that_is_no_answer(server: RecordingServer, warnings: pytest.LogCaptureFixture, body: bytes) -> None:
    server.forget_body, server.body = True, body
    reporter = Reporter("puzzled")
    wait_until(lambda: len(server.requests) >= 2, what="two tries")
    server.forget_body = False
    reporter.done()
    wait_until(lambda: not hub().reporters, what="everything is delivered")
    (warning,) = messages(warnings)
    assert "does not answer like a Headway exporter" in warning


def test_one_process_cannot_be_stored_and_the_others_are_not_sent_again(server: RecordingServer) -> None:
    unlucky, lucky = Reporter("unlucky"), Reporter("lucky")
    server.item_status[unlucky.id] = 507
    lucky.update(1, "once")
    lucky.done()
    server.final(lucky.id)
    unlucky.done()
    wait_until(lambda: len(server.requests) >= 4, what="it is tried again")
    del server.item_status[unlucky.id]
    server.final(unlucky.id)
    assert server.state(lucky.id)["log"] == ["once"]


def test_what_could_not_be_stored_comes_before_what_was_said_after_it(
    server: RecordingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each item goes in a request of its own, and the disk has room again for the second."""
    monkeypatch.setattr(link, "MAX_ITEMS", 1)
    server.delay = 2 * HICCUP
    unlucky, lucky = Reporter("unlucky"), Reporter("lucky")
    wait_until(lambda: bool(server.requests), what="the creations to be under way")
    answer, failures = server.result, iter((507,))

    def failing_once(item: dict[str, Any]) -> dict[str, Any]:
        status = next(failures, None) if item["id"] == unlucky.id and item.get("status") == "paused" else None
        return answer(item) if status is None else {"id": item["id"], "status": status, "error": {"detail": "the disk is full"}}

    monkeypatch.setattr(server, "result", failing_once)
    unlucky.pause()
    unlucky.done()
    lucky.done()
    server.release()
    server.final(lucky.id)
    server.final(unlucky.id)
    assert next(failures, None) is None
    assert [item["status"] for item in server.of(unlucky.id) if "status" in item] == ["paused", "done"]


def test_slow(server: RecordingServer) -> None:
    server.delay = 2 * HICCUP
    reporter = Reporter("slow")
    assert busy(reporter, 1.5) < HICCUP
    server.release()
    reporter.done()
    server.final(reporter.id)
    assert len(server.requests) <= 5


def test_lost_answers_do_not_repeat_lines(server: RecordingServer) -> None:
    """The exporter took the items but its answer never arrived: the repeat has the same sequence numbers."""
    server.drop_answers = 2
    reporter = Reporter("repeated")
    reporter.update(1, "one")
    wait_until(lambda: server.drop_answers == 0, what="answers are lost")
    reporter.update(2, "two")
    reporter.done()
    server.final(reporter.id)
    wait_until(lambda: not hub().reporters, what="everything is delivered")
    assert server.state(reporter.id)["log"] == ["one", "two"]
    assert server.state(reporter.id)["statuses"] == ["done"]


def test_an_exporter_that_lost_its_memory_is_told_again(server: RecordingServer) -> None:
    reporter = Reporter("told again", project="p")
    server.creation(reporter.id)
    reporter.update(1)
    wait_until(lambda: len(server.of(reporter.id)) >= 2, what="progress")
    server.known.clear()
    server.items.clear()
    reporter.update(2)
    assert server.creation(reporter.id)["project"] == "p"
    assert server.creation(reporter.id)["started_age"] > 0
    reporter.done()
    server.final(reporter.id)
    assert server.state(reporter.id)["progress"]["current"] == 2


def test_a_restart_in_the_middle(server: RecordingServer, warnings: pytest.LogCaptureFixture) -> None:
    reporter = Reporter("restarted")
    for n in range(1, 4):
        reporter.update(n, f"line {n}")
        wait_until(lambda n=n: server.state(reporter.id)["progress"].get("current") == n, what="progress")  # type: ignore[misc]
        server.stop()
        reporter.log(f"while it is down {n}")
        wait_until(lambda: len(messages(warnings)) == 1, what="the warning")
        server.start()
    reporter.done()
    server.final(reporter.id)
    assert server.state(reporter.id)["log"] == [f"{what} {n}" for n in range(1, 4) for what in ("line", "while it is down")]
    assert len(messages(warnings)) == 1


@pytest.mark.parametrize(
    ("field", "path"),
    [
        ("metadata", "metadata"),
        ("metadata", "create.metadata"),
        ("metadata", "items[0].create.metadata.key"),
        ("user", "user"),
        ("thresholds", "create.thresholds.stuck_after"),
    ],
)
def test_a_field_that_is_refused_is_left_out(
    server: RecordingServer, warnings: pytest.LogCaptureFixture, field: str, path: str
) -> None:
    server.refuse[field] = (422, path)
    more = {"thresholds": {"stuck_after": 5}} if field == "thresholds" else {field: {"a": 1}} if field == "metadata" else {}
    with Reporter("refused", **more) as reporter:  # type: ignore[arg-type]
        reporter.update(7)
    server.final(reporter.id)
    assert field not in server.creation(reporter.id) or not server.creation(reporter.id)[field]
    assert server.state(reporter.id)["progress"]["current"] == 7
    # The user was not given by the script: nothing that it could do about it.
    assert len(messages(warnings)) == (0 if field == "user" else 1)


def test_a_creation_that_is_refused_is_given_up(server: RecordingServer, warnings: pytest.LogCaptureFixture) -> None:
    server.refuse["name"] = (422, "name")
    reporter = Reporter("unwanted")
    wait_until(lambda: not hub().reporters, what="it is given up")
    requests = len(server.requests)
    assert busy(reporter, 0.3) < HICCUP
    reporter.done()
    (warning,) = messages(warnings)
    assert "'unwanted' is refused: name is not wanted" in warning
    assert len(server.requests) == requests


def test_a_batch_that_is_refused_as_a_whole_is_divided(server: RecordingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """413 or 400 for a request costs only the item that is to blame."""
    limit_bodies(server, monkeypatch, 60_000)
    reporters = [Reporter(f"r{i}", description="x" * 4000) for i in range(60)]
    for reporter in reporters:
        reporter.done()
    for reporter in reporters:
        assert server.final(reporter.id)["status"] == "done"


def test_large_reports_are_sent_in_several_requests(server: RecordingServer) -> None:
    with Reporter("large") as first, Reporter("also large") as second:
        for reporter in (first, second):
            for i in range(500):
                reporter.log(f"{i} " + "x" * 4000)
    for reporter in (first, second):
        server.final(reporter.id)
        assert len(server.state(reporter.id)["log"]) >= 500
    assert max(request["bytes"] for request in server.requests) < 2.2 * 1024 * 1024


def test_retry_after_is_respected(server: RecordingServer) -> None:
    server.status, server.retry_after = 503, "1"
    Reporter("asked to wait")
    wait_until(lambda: len(server.requests) >= 2, what="the second try")
    assert server.requests[1]["at"] - server.requests[0]["at"] >= 1.0


def test_backoff_grows_and_is_capped_and_random() -> None:
    pauses = []
    for _ in range(200):
        one = link.Link("http://127.0.0.1:1", None)
        for failure in range(12):
            one.failed(1000.0)
            if failure == 0:
                pauses.append(one.not_before - 1000.0)
        assert 7.5 <= one.not_before - 1000.0 <= 15.0
    assert 0.25 <= min(pauses) < max(pauses) <= 0.5
    assert len(set(pauses)) > 100


def test_an_update_that_ended_elsewhere_is_not_insisted_on(server: RecordingServer, warnings: pytest.LogCaptureFixture) -> None:
    reporter = Reporter("killed there")
    server.creation(reporter.id)
    server.item_status[reporter.id] = 409
    before = len(server.requests)
    busy(reporter, 0.6)
    assert len(server.requests) - before < 6
    reporter.done()
    wait_until(lambda: not hub().reporters, what="the last word is tried once")
    assert not messages(warnings)


def test_wrong_addresses_warn_and_never_raise(server: RecordingServer, warnings: pytest.LogCaptureFixture) -> None:
    for url in ("http://", "ftp://example.invalid", "http://127.0.0.1:99999", "http://[::1", "nonsense url"):
        with Reporter("lost", url=url) as reporter:
            reporter.update(1)
    wait_until(lambda: len(messages(warnings)) >= 5, what="a warning each")


def test_proxies_are_for_other_machines(tmp_path: Path) -> None:
    with recording_server() as server:
        code = "from headway import Reporter\nwith Reporter('direct', id='direct'): pass"
        done = run_script(code, server, tmp_path, http_proxy="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9")
        assert done.stderr == ""
        assert server.of("direct")


def test_one_line_on_stderr_when_logging_is_not_set_up(tmp_path: Path) -> None:
    code = """
        from headway import Reporter, track
        import time
        for i in track(range(30), name="no exporter"):
            time.sleep(0.01)
        with Reporter("another"):
            pass
        print("result")
    """
    done = run_script(code, "http://127.0.0.1:9", tmp_path)
    assert done.returncode == 0
    assert done.stdout == "result\n"
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("headway: http://127.0.0.1:9 cannot be reached (Connection refused).")


def test_an_outage_is_one_warning_however_it_shows(server: RecordingServer, warnings: pytest.LogCaptureFixture) -> None:
    reporter = Reporter("restarted slowly")
    server.creation(reporter.id)

    def failures() -> int:
        found = hub().sender
        assert found is not None
        return sum(link.failures for link in found._links.values())

    for misbehave in (503, None, 500):
        server.status = misbehave or 200
        if misbehave is None:
            server.stop()
        before = failures()
        reporter.log(f"it answers {misbehave}")
        wait_until(lambda before=before: failures() > before + 1, what="tries")  # type: ignore[misc]
        if misbehave is None:
            server.start()
    server.status = 200
    reporter.done()
    server.final(reporter.id)
    assert len(messages(warnings)) == 1


def test_many_short_processes_do_not_fill_the_memory_while_it_is_down(
    server: RecordingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sender, "MAX_ENDED", 50)
    server.stop()
    ids = []
    for batch in range(4):
        for i in range(100):
            with Reporter(f"short {batch} {i}", total=1) as reporter:
                reporter.update(1, "the only line")
            ids.append(reporter.id)
        wait_until(lambda: len(hub().reporters) <= 50, what="memory is relieved")
    running = Reporter("still running")
    server.start()
    for process_id in ids:
        assert server.final(process_id)["status"] == "done"
        assert server.state(process_id)["log"] == ["the only line"]
        assert server.state(process_id)["progress"] == {"current": 1, "total": 1}
    server.creation(running.id)
    wait_until(lambda: not list((tmp_path / "spool").glob("*.ready")), what="the spool is empty")
    assert len(messages(warnings)) == 1


def test_memory_is_bounded_without_a_spool_too(
    server: RecordingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sender, "MAX_ENDED", 50)
    (tmp_path / "spool").write_text("not a folder")
    server.stop()
    for i in range(200):
        Reporter(f"short {i}").done()
    wait_until(lambda: len(hub().reporters) <= 50, what="the oldest are dropped")
    server.start()
    server.by_name("short 199")
    assert any("old reports are dropped" in text for text in messages(warnings))


@pytest.mark.parametrize("fill", ["x", "\u00e9", "\U0001f388", "\x00"])
def test_a_final_state_arrives_however_long_the_log(server: RecordingServer, monkeypatch: pytest.MonkeyPatch, fill: str) -> None:
    """Over its body limit the exporter refuses the whole request: no part of a report may cost the end of a process."""
    limit_bodies(server, monkeypatch, 4 << 20)
    with Reporter("long lines", metadata={"big": [fill * 60_000] * 40}) as reporter:
        for i in range(500):
            reporter.log(f"{i} " + fill * 8000)
    assert server.final(reporter.id)["status"] == "done"
    log = server.state(reporter.id)["log"]
    dropped = sum(int(line.split()[1]) for line in log if line.startswith("…"))
    assert len([line for line in log if not line.startswith("…")]) + dropped == 500
    assert log[-1].startswith("499 ")


def test_a_final_state_arrives_where_bodies_are_small(
    server: RecordingServer, monkeypatch: pytest.MonkeyPatch, warnings: pytest.LogCaptureFixture
) -> None:
    limit_bodies(server, monkeypatch, 2000)
    reporter = Reporter("small", description="d" * 3000)
    server.creation(reporter.id)
    reporter.update(7, "l" * 5000, metadata={"m": "m" * 4000})
    reporter.fail("e" * 3000)
    assert server.final(reporter.id)["status"] == "failed"
    assert server.state(reporter.id)["progress"]["current"] == 7
    assert {text.split()[1] for text in messages(warnings)} == {"description", "log", "metadata", "error"}


def test_a_final_state_arrives_when_what_came_with_it_is_refused_for_no_named_reason(server: RecordingServer) -> None:
    reporter = Reporter("refused")
    server.creation(reporter.id)
    server.refuse["stage"] = (422, "")
    reporter.update(stage="unwanted")
    reporter.done()
    assert server.final(reporter.id)["status"] == "done"


def limit_bodies(server: RecordingServer, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    real = server.handle

    def limited(request: object) -> None:
        server.status = 413 if int(request.headers["Content-Length"]) > limit else 200  # type: ignore[attr-defined]
        real(request)  # type: ignore[arg-type]

    monkeypatch.setattr(server, "handle", limited)


def test_what_one_reporter_cannot_show_holds_back_no_other(server: RecordingServer, warnings: pytest.LogCaptureFixture) -> None:
    class Failing(Mapping[str, object]):
        def __getitem__(self, key: str) -> object:
            raise ValueError("not now")

        def __iter__(self) -> Iterator[str]:
            raise ValueError("not now")

        def __len__(self) -> int:
            return 1

    broken, fine = Reporter("broken"), Reporter("fine")
    broken.update(3, "a line", metadata={"inner": Failing()})
    broken.done()
    fine.done()
    assert server.final(fine.id)["status"] == server.final(broken.id)["status"] == "done"
    assert server.state(broken.id)["log"] == ["a line"]
    assert server.state(broken.id)["progress"]["current"] == 3
    (warning,) = messages(warnings)
    assert "metadata of 'broken' ignored: not now" in warning


def test_every_wrong_value_is_named_with_its_reporter(server: RecordingServer, warnings: pytest.LogCaptureFixture) -> None:
    wrong: Any = {"total": "many", "timeout": "soon", "project": ["a"], "pid": "me"}
    first, second, nameless = Reporter("first", **wrong), Reporter("second", 5, timeout="soon"), Reporter(" \t")  # type: ignore[arg-type]
    second.update("five")  # type: ignore[arg-type]
    counting = Reporter("counting", total=9)
    counting.advance("x")  # type: ignore[arg-type]
    for one in (first, second, nameless, counting):
        one.done()
        assert server.final(one.id)["status"] == "done"
    found = "\n".join(messages(warnings))
    for words in (
        "total of 'first' ignored: 'many' is not a number",
        "timeout of 'first' ignored",
        "project of 'first' ignored: ['a'] is not a text",
        "pid of 'first' ignored: 'me' is not a number",
        "timeout of 'second' ignored",
        "current of 'second' ignored: 'five' is not a number",
        "name of ' \\t' ignored: it is blank; it is reported as 'unnamed'",
        "advance of 'counting' ignored: 'x' is not a number",
    ):
        assert words in found
    assert "project" not in server.state(first.id)


def test_a_loop_of_wrong_reporters_is_named_a_few_times(server: RecordingServer, warnings: pytest.LogCaptureFixture) -> None:
    made = [Reporter(f"file {number}", timeout="soon") for number in range(20)]
    for one in made:
        one.done()
    assert server.final(made[-1].id)["status"] == "done"
    assert len(messages(warnings)) == 3


def test_of_metadata_that_is_too_large_the_largest_is_left_out(
    server: RecordingServer, start_exporter: Starter, warnings: pytest.LogCaptureFixture
) -> None:
    exporter = start_exporter()
    reporter = Reporter("big", url=exporter.url, key=exporter.key, metadata={"big": "x" * 100_000, "ok": 1})
    reporter.done()
    client = Client(exporter.url, exporter.key)

    def arrived() -> bool:
        try:
            return bool(client.get(reporter.id)["status"] == "done")
        except ApiError:
            return False

    wait_until(arrived, timeout=20, what="its end")
    assert client.get(reporter.id)["metadata"] == {"ok": 1}
    (warning,) = messages(warnings)
    assert "metadata.big of 'big' ignored: metadata would be 100017 bytes" in warning


def test_an_internal_error_for_one_exporter_holds_back_no_other(
    server: RecordingServer, warnings: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = link.Link._post

    def post(self: link.Link, items: Sequence[bytes]) -> list[dict[str, Any]]:
        if self.url != server.url:
            raise RuntimeError("unforeseen")
        return real(self, items)

    monkeypatch.setattr(link.Link, "_post", post)
    with Reporter("lost", url="http://127.0.0.1:9"), Reporter("fine") as fine:
        pass
    assert server.final(fine.id)["status"] == "done"
    wait_until(lambda: messages(warnings), what="the warning")
    assert messages(warnings) == ["headway: internal error in the reporter: RuntimeError: unforeseen"]


@pytest.mark.parametrize("value", ["inf", "1e300", "nan", "-1", "soon"])
def test_an_interval_that_no_clock_can_hold(server: RecordingServer, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HEADWAY_INTERVAL", value)
    with Reporter("first") as first:
        server.creation(first.id)
    assert server.final(first.id)["status"] == "done"
    with Reporter("second") as second:
        pass
    assert server.final(second.id)["status"] == "done"


@pytest.mark.parametrize("value", ["inf", "1e300", "nan", "-1", "soon"])
def test_an_exit_wait_that_no_clock_can_hold(tmp_path: Path, value: str) -> None:
    with recording_server() as server:
        code = """
            from headway import Reporter
            from headway.reporter.hub import hub
            with Reporter("x", id="x"):
                pass
            while hub().reporters:
                pass
            Reporter("y", id="y")
        """
        done = run_script(code, server, tmp_path, HEADWAY_EXIT_WAIT=value)
        assert "Traceback" not in done.stderr
        assert server.final("x")


def test_a_real_exporter_that_is_killed_and_comes_back(
    start_exporter: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link, "FIRST_PAUSE", 0.05)
    exporter = start_exporter()
    client = Client(exporter.url)
    with fresh_hub(monkeypatch, exporter.url, tmp_path / "spool"):
        going, ending = Reporter("going", total=10), Reporter("ending", total=10)
        going.update(1, "before")
        wait_until(lambda: any(p["progress"]["current"] == 1 for p in client.list(name="going")), what="progress")
        exporter.kill()
        assert busy(going, 0.3) < HICCUP
        going.update(7, "meanwhile")
        ending.update(10, "its last line")
        ending.done("all ten")
        with Reporter("short", id="short", parent_id=going.id):
            pass
        exporter.start()
        wait_until(lambda: [p["status"] for p in client.list(name="ending", state="all")] == ["done"], 30, "the end")
        wait_until(lambda: client.list(name="short", state="done"), what="what came and went")
        wait_until(lambda: client.get(going.id)["progress"]["current"] == 7, what="progress")
        assert client.get(ending.id)["summary"] == "all ten"
        assert client.get(going.id)["log_tail"][-1] == "meanwhile"  # the first may have been on its way to the disk
        assert client.get("short")["parent_id"] == going.id
        going.done()
        wait_until(lambda: not hub().reporters, what="everything is delivered")
    assert len(messages(warnings)) == 1


def test_a_real_exporter_that_wants_a_key(
    start_exporter: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: pytest.LogCaptureFixture
) -> None:
    """What was refused is delivered as soon as the key file holds a key that is known."""
    monkeypatch.setattr(link, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(link, "LONGEST_PAUSE", 0.3)
    exporter = start_exporter("--anonymous", "none")
    path = tmp_path / "key"
    path.write_text("hw_unknown")
    with fresh_hub(monkeypatch, exporter.url, tmp_path / "spool"):
        monkeypatch.setenv("HEADWAY_KEY_FILE", str(path))
        with Reporter("guarded", id="guarded", total=3) as reporter:
            reporter.update(3)
            wait_until(lambda: messages(warnings), what="the warning")
        path.write_text(exporter.key)
        wait_until(lambda: not hub().reporters, what="everything is delivered")
    assert Client(exporter.url, exporter.key).get("guarded")["status"] == "done"
    (warning,) = messages(warnings)
    assert "HEADWAY_KEY" in warning


def test_the_id_of_a_run_that_has_ended_is_warned_of(start_exporter: Starter, tmp_path: Path) -> None:
    """In a crontab with a fixed --id each further run, and its failure, would be lost without a word."""
    exporter = start_exporter()
    environ = exporter.environ_of_runs(tmp_path)
    words = "headway: 'Dump' is not kept: the earlier process with the id dump-1 has ended"
    words += "; give each run an id of its own, or none\n"
    flags = ("run", "--id", "dump-1", "--name", "Dump", "--")
    first = headway(*flags, "true", environ=environ)
    assert (first.returncode, first.stderr) == (0, "")
    second = headway(*flags, "sh", "-c", "exit 5", environ=environ)
    assert (second.returncode, second.stderr) == (5, words)
    script = "from headway import Reporter\nr = Reporter('Dump', id='dump-1', total=9)\nr.update(3)\nr.{}\n"
    for end in ("done()", "fail('no space')"):
        done = run_script(script.format(end), exporter.url, tmp_path / "spool")
        assert done.stderr == words, end
    with Client(exporter.url, exporter.key) as client:
        assert client.get("dump-1")["status"] == "done"


def test_a_batch_says_that_what_it_creates_has_ended_before(start_exporter: Starter) -> None:
    exporter = start_exporter()
    with Client(exporter.url, exporter.key) as client:
        item = {"id": "b", "seq": 5, "create": {"name": "x", "type": "task"}, "status": "done"}
        (first,) = client.batch([item])
        assert "ended_before" not in first
        (again,) = client.batch([item])
        assert "ended_before" not in again and again["duplicate"] is True, "the same, sent once more"
        (later,) = client.batch([{**item, "seq": 6}])
        assert later["ended_before"] is True
