"""Output and changes of status in Loki: what is sent, that it arrives once and in order, and what if Loki does not want it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from headway import Client
from headway.metrics.shipping import SHIPPING_FAMILIES
from headway.model import Activity, Failed, Kind, Process, Running, Spec, State, Status, Transition
from headway.shipping.entries import BEHIND, OLDEST, OTHER, SECOND, Entries, Entry
from headway.shipping.loki import LONGEST_WAIT, Verdict, encoded, verdict, waiting
from headway.shipping.loki import Loki as Target
from headway.shipping.shipper import Shipper
from headway.store.base import LogLine
from loki_standin import Loki, standing_in
from running import RunningExporter, Starter
from waiting import wait_until

NOW = float(int(time.time()))
DEADLINE = 60.0


def process(name: str = "NLP Backfill", process_id: str = "p1", state: State | None = None, **spec: Any) -> Process:
    return Process(
        id=process_id,
        spec=Spec(name=name, kind=Kind.PIPELINE, created_at=NOW, **spec),
        state=state or Running(NOW),
        activity=Activity(updated_at=NOW),
    )


def entries(**limits: Any) -> Entries:
    return Entries("web-1", **({"max_names": 1000, "line_bytes": 262_144} | limits))


def line(made: Entries, text: str = "x", at: float = NOW, of: Process | None = None, now: float = NOW) -> Entry:
    return made.line(of or process(), LogLine((of or process()).id, 1, at, text), now)


# ── what becomes of a line ──────────────────────────────────────────────────────────────────────────────────────────


def test_labels_are_few_and_the_id_is_none_of_them() -> None:
    one = line(entries(), "hello", of=process(project="kira", task="t-7"))
    assert dict(one.labels) == {"job": "headway", "host": "web-1", "name": "NLP Backfill", "kind": "pipeline", "source": "output"}
    assert one.metadata == {"id": "p1", "project": "kira", "task": "t-7"}
    assert (one.text, one.ns) == ("hello", int(NOW) * SECOND)


def test_a_change_of_status_is_a_sentence() -> None:
    made, ended = entries(), process(state=Failed(NOW, NOW + 9, 3, error="ValueError: 7"))
    born = made.transition(process(), Transition("p1", NOW, None, Status.QUEUED, "created"), NOW)
    bad = made.transition(ended, Transition("p1", NOW + 9, Status.RUNNING, Status.FAILED, "reported"), NOW + 9)
    assert born.text == "created as queued" and born.metadata["level"] == "info"
    assert bad.text == "running → failed (reported): ValueError: 7"
    assert bad.metadata == {"id": "p1", "status": "failed", "level": "error"} and dict(bad.labels)["source"] == "status"


def test_names_beyond_the_limit_share_a_stream_and_are_still_told() -> None:
    made = entries(max_names=2)
    names = [dict(line(made, of=process(name)).labels)["name"] for name in ("a", "b", "c", "a")]
    assert names == ["a", "b", OTHER, "a"]
    assert line(made, of=process("d")).metadata["process_name"] == "d"


def test_equal_lines_of_one_moment_stay_two() -> None:
    made = entries()
    times = [line(made, "tick").ns for _ in range(3)] + [line(made, "tick", NOW + 1e-6).ns, line(made, "tick", NOW + 1).ns]
    assert len(set(times)) == 5 and times == sorted(times) and times[0] == int(NOW) * SECOND
    assert times[-1] == int(NOW + 1) * SECOND


def test_what_comes_too_late_has_the_time_of_its_arrival() -> None:
    made = entries()
    newest = line(made).ns
    a_little = line(made, at=NOW - BEHIND / SECOND + 1)
    assert "said_at" not in a_little.metadata and a_little.ns < newest
    late = line(made, at=NOW - BEHIND / SECOND - 60)
    assert late.ns > newest and datetime.fromisoformat(late.metadata["said_at"]).timestamp() == NOW - BEHIND / SECOND - 60
    ancient = line(entries(), at=NOW - OLDEST / SECOND - 60)
    assert ancient.ns == int(NOW) * SECOND and "said_at" in ancient.metadata


@pytest.mark.parametrize("text", ["ä" * 400, "x" * 1001, "€" * 334])
def test_a_line_that_is_too_long_is_cut_and_counted(text: str) -> None:
    made = entries(line_bytes=600)
    one = line(made, text)
    assert len(one.text.encode()) <= 600 and one.text.startswith(text[:100]) and f"({len(text.encode())} bytes, cut)" in one.text
    assert made.cut == 1
    line(made, "x" * 600)
    assert made.cut == 1


def test_half_a_character_spoils_nothing() -> None:
    assert b"half ?" in encoded([line(entries(), "half \ud800")])


# ── what an answer means ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (204, "", Verdict()),
        (400, "user 'fake', total ignored: 2 out of 3 for stream: {a=\"b\"}", Verdict(refused=2)),
        (400, "Max entry size '256' bytes exceeded", Verdict(refused=9)),
        (422, "at least one valid stream is required", Verdict(refused=9)),
        (413, "request body too large", Verdict(too_large=True)),
        (429, "Ingestion rate limit exceeded", Verdict(again=True, after=7.0)),
        (401, "no org id", Verdict(again=True, after=7.0)),
        (404, "", Verdict(again=True, after=7.0)),
        (302, "", Verdict(again=True, after=7.0)),
        (500, "", Verdict(again=True, after=7.0)),
    ],
)
def test_verdicts(status: int, text: str, expected: Verdict) -> None:
    found = verdict(status, text, "7", 9)
    assert (found.refused, found.again, found.after, found.too_large) == (
        expected.refused,
        expected.again,
        expected.after,
        expected.too_large,
    )
    assert (found.problem is None) == (status == 204)


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
    assert waiting("2") == 2 and waiting("0.5") == 0.5 and waiting(None) is None
    assert waiting("Sun, 01 Mar 2026 12:00:30 GMT", now) == 30 and waiting("Sun, 01 Mar 2026 11:00:00 GMT", now) == 0
    assert waiting("soon") is None and waiting("nan") is None and waiting("-3") == 0 and waiting("1e9") == LONGEST_WAIT


# ── delivery ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def loki() -> Iterator[Loki]:
    with standing_in() as found:
        yield found


def shipping(to: Loki, buffer_bytes: int = 1 << 20, **given: Any) -> Shipper:
    shipper = Shipper(Target(to.url, **given), buffer_bytes, gather=0.05, first_pause=0.05)
    shipper.start()
    return shipper


def batch(texts: Sequence[str], made: Entries | None = None) -> list[Entry]:
    own = made or entries()
    now = time.time()
    return [line(own, text, at=now, now=now) for text in texts]


def test_lines_arrive_in_order_in_few_compressed_requests(loki: Loki) -> None:
    shipper, made = shipping(loki), entries()
    texts = [f"line {number}" for number in range(5_000)]
    for start in range(0, len(texts), 100):
        shipper.put(batch(texts[start : start + 100], made))
    wait_until(lambda: shipper.delivered == len(texts), DEADLINE, "all lines")
    assert loki.lines("p1") == texts
    assert len(loki.requests) <= 60 and sum(request["bytes"] for request in loki.requests) < 400_000
    shipper.close(5)


def test_nobody_waits_and_the_oldest_go_when_loki_is_away(loki: Loki) -> None:
    loki.answers = [(503, "no")] * 10_000
    shipper, made = shipping(loki, buffer_bytes=100_000), entries()
    for start in range(0, 5000, 50):
        shipper.put(batch([f"line {number}" for number in range(start, start + 50)], made))
    figures = shipper.figures(0)
    assert figures.dropped["full"] > 1000 and figures.pending < 5000
    wait_until(lambda: shipper.retries >= 1, DEADLINE, "a try that failed")
    with loki.lock:
        loki.answers.clear()
    wait_until(lambda: shipper.pending == 0, DEADLINE, "the rest")
    assert shipper.figures(0).dropped["full"] + shipper.delivered == 5000
    found = loki.lines("p1")
    assert found[-1] == "line 4999" and found == sorted(found, key=lambda text: int(text.split()[1])), "in order, newest kept"
    assert shipper.up
    shipper.close(5)


def test_retry_after_is_kept_to(loki: Loki) -> None:
    loki.answers, loki.retry_after = [(429, "Ingestion rate limit exceeded")], "1.5"
    shipper = shipping(loki)
    shipper.put(batch(["a"]))
    wait_until(lambda: shipper.delivered == 1, DEADLINE)
    first, second = loki.requests
    assert second["at"] - first["at"] >= 1.5 and loki.lines("p1") == ["a"]
    shipper.close(5)


def test_a_batch_that_is_too_large_is_sent_in_halves(loki: Loki) -> None:
    loki.body = 20_000
    shipper = shipping(loki)
    texts = [f"{number} " + "x" * 200 for number in range(500)]
    shipper.put(batch([*texts, "y" * 30_000]))
    wait_until(lambda: shipper.pending == 0, DEADLINE)
    assert loki.lines("p1") == texts and shipper.figures(0).dropped == {"full": 0, "refused": 1, "stopped": 0}
    shipper.close(5)


def test_what_is_refused_is_not_sent_again_and_the_others_are_there(loki: Loki) -> None:
    loki.max_line_size = 1000
    shipper = shipping(loki)
    shipper.put(batch(["short", "x" * 2000, "too"]))
    wait_until(lambda: shipper.pending == 0, DEADLINE)
    assert loki.lines("p1") == ["short", "too"] and len(loki.requests) == 1
    assert shipper.figures(0).dropped["refused"] == 3, "Loki does not say how many they were"
    shipper.close(5)


def test_an_answer_that_was_lost_doubles_nothing(loki: Loki, monkeypatch: pytest.MonkeyPatch) -> None:
    push, lost = loki.push, [True]

    def forgetful(headers: dict[str, str], raw: bytes) -> tuple[int, str]:
        answer = push(headers, raw)
        return (504, "gateway timeout") if lost and lost.pop() else answer

    monkeypatch.setattr(loki, "push", forgetful)
    shipper = shipping(loki)
    shipper.put(batch(["tick", "tick", "tock"]))
    wait_until(lambda: shipper.delivered == 3, DEADLINE)
    assert loki.lines("p1") == ["tick", "tick", "tock"] and loki.duplicates == 3
    shipper.close(5)


def test_who_it_says_it_is(loki: Loki, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    loki.tenant = "team-a"
    loki.basic("headway", "päss")
    shipper = shipping(loki, tenant="team-a", user="headway", secret_file=secret)
    shipper.put(batch(["a"]))
    wait_until(lambda: shipper.up is False, DEADLINE)
    secret.write_text("päss\n")
    wait_until(lambda: shipper.delivered == 1, DEADLINE, "the new password")
    loki.authorization = "Bearer token-1"
    secret.write_text("token-1")
    other = shipping(loki, tenant="team-a", secret_file=secret)
    other.put(batch(["b"], entries()))
    wait_until(lambda: other.delivered == 1, DEADLINE, "the token")
    for one in (shipper, other):
        one.close(5)


def test_the_end_sends_what_is_there_and_waits_no_longer_than_it_may(loki: Loki) -> None:
    shipper = Shipper(Target(loki.url), 1 << 20, gather=60)
    shipper.start()
    shipper.put(batch(["last words"]))
    shipper.close(20)
    assert loki.lines("p1") == ["last words"]
    loki.hang = 120.0
    shipper = Shipper(Target(loki.url), 1 << 20, gather=60)
    shipper.start()
    shipper.put(batch(["never heard", "nor this"]))
    closing = threading.Thread(target=shipper.close, args=(0.2,), daemon=True)
    closing.start()
    closing.join(30)
    assert not closing.is_alive(), "it does not wait for the answer"
    assert shipper.figures(0).dropped["stopped"] == 2


# ── an exporter ─────────────────────────────────────────────────────────────────────────────────────────────────────


def start(start_exporter: Starter, loki: Loki, *flags: str) -> RunningExporter:
    return start_exporter("--loki-url", loki.url, *flags)


def call(exporter: RunningExporter, method: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {exporter.key}"}
    answer = requests.request(method, f"{exporter.url}/api/processes{path}", json=body, headers=headers, timeout=30)
    assert answer.ok, answer.text
    return answer.json()["data"]


def figure(exporter: RunningExporter, name: str) -> float | None:
    page = requests.get(f"{exporter.url}/metrics", headers={"Authorization": f"Bearer {exporter.key}"}, timeout=30).text
    return next((float(row.rsplit(" ", 1)[1]) for row in page.splitlines() if row.startswith(name)), None)


def test_an_exporter_sends_lines_and_changes_of_status(start_exporter: Starter, loki: Loki) -> None:
    exporter = start(start_exporter, loki, "--loki-line-bytes", "300")
    call(exporter, "POST", "", {"id": "import-7", "name": "Import", "type": "task", "project": "shop", "status": "queued"})
    call(exporter, "PATCH", "/import-7", {"status": "running", "log": "row 1\nrow 2"})
    call(exporter, "PATCH", "/import-7", {"log": ["row 2", "z" * 900]})
    call(exporter, "PATCH", "/import-7", {"status": "failed", "error": "row 131: no such column", "log": "giving up"})
    exporter.stop()
    output = loki.lines("import-7")
    assert output[:3] == ["row 1", "row 2", "row 2"] and output[4] == "giving up" and len(output[3].encode()) <= 300
    changes = loki.lines("import-7", "status")
    assert changes[0] == "created as queued" and changes[-1] == "running → failed (reported): row 131: no such column"
    one = loki.of("import-7")[0]
    assert one.labels.keys() == {"job", "host", "name", "kind", "source"} and one.metadata == {"id": "import-7", "project": "shop"}
    exporter.start()
    call(exporter, "PATCH", "/import-7", {"log": "after the restart"})
    wait_until(lambda: "after the restart" in loki.lines("import-7"), DEADLINE)
    assert loki.lines("import-7") == [*output, "after the restart"], "nothing is sent twice after a restart"
    assert figure(exporter, "headway_shipping_up") == 1 and figure(exporter, "headway_shipping_delivered_total") == 1
    assert figure(exporter, 'headway_shipping_dropped_total{reason="full"}') == 0


def test_a_loki_that_hangs_slows_nobody_down(start_exporter: Starter) -> None:
    with standing_in(hang=120.0) as loki:
        exporter = start(start_exporter, loki)
        client = Client(url=exporter.url, key=exporter.key)
        for number in range(50):
            call(exporter, "POST", "", {"name": f"job {number}", "type": "task"})
        assert len(client.list(state="active", limit=100)) == 50
        assert (figure(exporter, "headway_shipping_pending") or 0) >= 50
        assert exporter.stop(within=30) == 0, "it does not wait for the answer"


def test_without_an_address_there_is_neither_thread_nor_series(shared_exporter: RunningExporter) -> None:
    assert all(figure(shared_exporter, family.name) is None for family in SHIPPING_FAMILIES)
    threads = {p.read_text().strip() for p in Path(f"/proc/{shared_exporter.process.pid}/task").glob("*/comm")}  # type: ignore[union-attr]
    assert "headway-shipper" not in threads
