"""What follows the end of a service, when a schedule is due, and what is remembered: no OS processes needed."""

from __future__ import annotations

import json
import resource
from datetime import datetime
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from headway.errors import StoreUnavailable
from headway.services.cron import due_after, missed_between, next_due
from headway.services.definition import Missed, Overlap, Policy, Restart, Schedule
from headway.services.memory import Memory, Remembered
from headway.services.phase import End, Next, Phase, after_end
from headway.services.schedule import Clockwork, Due, due_now

ON_FAILURE = Restart(policy=Policy.ON_FAILURE, backoff=1, longest=5, tries=4, stable=60)


@pytest.mark.parametrize(
    ("restart", "end", "ran_for", "failures", "expected"),
    [
        (ON_FAILURE, End.BAD, 0, 0, Next(1, 1)),
        (ON_FAILURE, End.BAD, 0, 1, Next(2, 2)),
        (ON_FAILURE, End.BAD, 0, 2, Next(4, 3)),
        (ON_FAILURE, End.BAD, 0, 3, Next(None, 4, gave_up=True)),
        (ON_FAILURE, End.BAD, 59.9, 3, Next(None, 4, gave_up=True)),
        (ON_FAILURE, End.BAD, 60, 3, Next(1, 1)),  # it was stable before
        (ON_FAILURE, End.GOOD, 1, 3, Next(None, 0)),
        (ON_FAILURE, End.ASKED, 1, 3, Next(None, 0)),
        (Restart(policy=Policy.NEVER), End.BAD, 0, 0, Next(None, 1)),
        (Restart(policy=Policy.ALWAYS, backoff=3), End.GOOD, 0, 0, Next(3, 0)),
        (Restart(policy=Policy.ALWAYS, backoff=3), End.BAD, 0, 0, Next(3, 1)),
        (Restart(policy=Policy.ALWAYS, backoff=1, longest=5, tries=0), End.BAD, 0, 5000, Next(5, 5001)),
    ],
)
def test_what_follows_an_end(restart: Restart, end: End, ran_for: float, failures: int, expected: Next) -> None:
    assert after_end(restart, end, ran_for, failures) == expected


def test_the_codes_of_the_metric() -> None:
    assert {phase.value: phase.code for phase in Phase} == {"stopped": 0, "starting": 1, "running": 2, "stopping": 3, "error": 4}


# ── schedules ───────────────────────────────────────────────────────────────────────────────────────────────────────

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()


def said(times: list[float]) -> list[str]:
    return [datetime.fromtimestamp(one, BERLIN).strftime("%m-%d %H:%M%z") for one in times]


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("30 2 * * *", at("2026-01-10T02:29:59"), ["01-10 02:30+0100", "01-11 02:30+0100"]),
        ("30 2 * * *", at("2026-01-10T02:30:00"), ["01-11 02:30+0100"]),  # that moment itself is over
        # Spring: 02:30 is left out on March 29th, and the run comes right after the gap.
        ("30 2 * * *", at("2026-03-28T12:00"), ["03-29 03:00+0200", "03-30 02:30+0200"]),
        # Autumn: 02:30 comes twice on October 25th, and the run once.
        ("30 2 * * *", at("2026-10-24T12:00"), ["10-25 02:30+0200", "10-26 02:30+0100"]),
        ("30 2 * * *", at("2026-10-25T02:10", fold=1), ["10-26 02:30+0100"]),
        # What runs every half hour runs as often as half hours come.
        ("*/30 * * * *", at("2026-10-25T01:45"), ["10-25 02:00+0200", "10-25 02:30+0200", "10-25 02:00+0100", "10-25 02:30+0100"]),
        ("*/30 * * * *", at("2026-03-29T01:15"), ["03-29 01:30+0100", "03-29 03:00+0200"]),
        ("0 9 * * 1-5", at("2026-11-20T10:00"), ["11-23 09:00+0100"]),  # a Friday
        ("0 0 29 2 *", at("2026-03-01T00:00"), ["02-29 00:00+0100"]),
    ],
)
def test_when_it_is_due(cron: str, after: float, expected: list[str]) -> None:
    schedule = Schedule(cron=cron, time_zone="Europe/Berlin")
    assert said(list(islice(due_after(schedule, after), len(expected)))) == expected


def test_the_time_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    due = next_due(Schedule(cron="0 12 * * *"), at("2026-07-01T00:00"))
    assert due == datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("America/New_York")).timestamp()


def test_missed_ones_are_counted_up_to_a_limit() -> None:
    schedule = Schedule(cron="0 * * * *", time_zone="UTC")
    assert missed_between(schedule, at("2026-01-10T00:00"), at("2026-01-10T03:30")) == (3, at("2026-01-10T03:00"))
    assert missed_between(schedule, at("2026-01-10T00:00"), at("2026-01-10T00:30")) == (0, None)
    assert missed_between(Schedule(cron="* * * * *"), 0.0, 1e9)[0] == 10_000


def hourly(overlap: Overlap = Overlap.SKIP, missed: Missed = Missed.SKIP) -> Schedule:
    return Schedule(cron="0 * * * *", time_zone="UTC", overlap=overlap, missed=missed)


NOON = at("2026-01-10T12:00")


@pytest.mark.parametrize(
    ("schedule", "seen", "now", "running", "expected"),
    [
        (hourly(), NOON - 1800, NOON - 1, False, None),
        (hourly(), NOON - 1800, NOON + 1, False, Due(run=NOON)),
        (hourly(), NOON, NOON + 1, False, None),  # not the same one twice
        (hourly(), NOON - 1800, NOON + 60, False, Due(run=NOON)),
        (hourly(), NOON - 1800, NOON + 61, False, Due(missed=1)),
        (hourly(), NOON - 9000, NOON + 1, False, Due(run=NOON, missed=2)),
        (hourly(), NOON - 9000, NOON + 600, False, Due(missed=3)),
        (hourly(missed=Missed.RUN), NOON - 9000, NOON + 600, False, Due(run=NOON, missed=3)),
        (hourly(), NOON - 1800, NOON + 1, True, Due(overlapped=1)),
        (hourly(overlap=Overlap.QUEUE), NOON - 1800, NOON + 1, True, Due(queue=NOON)),
    ],
)
def test_what_the_clock_asks_for(schedule: Schedule, seen: float, now: float, running: bool, expected: Due | None) -> None:
    assert due_now(schedule, seen, now, running) == expected


def test_the_next_time_moves_with_what_was_seen() -> None:
    clock = Clockwork(hourly())
    assert [clock.next(NOON - 1), clock.next(NOON - 1), clock.next(NOON)] == [NOON, NOON, NOON + 3600]


# ── memory ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_remembered_comes_back(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    assert memory.load() == {}
    known = {"web": Remembered(wanted=False, process_id="x", pid=1, create_time=2.5, restarts=3), "db": Remembered()}
    memory.save(known)
    assert Memory(tmp_path).load() == known
    assert memory.path.stat().st_mode & 0o777 == 0o600


def test_a_later_version_may_have_written_it(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    memory.path.write_text(json.dumps({"services": {"web": {"restarts": 2, "colour": "red"}}}))
    assert memory.load() == {"web": Remembered(restarts=2)}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"services": []}', '{"services": {"web": 3}}'])
def test_what_cannot_be_read_is_put_aside(tmp_path: Path, text: str) -> None:
    memory = Memory(tmp_path)
    memory.path.write_text(text)
    assert memory.load() == {}
    assert (tmp_path / "services.unreadable.json").read_text() == text
    memory.save({})
    assert memory.load() == {}


def test_what_cannot_be_written_leaves_what_was(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    memory.save({"web": Remembered(restarts=1)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # as on a full disk
    try:
        with pytest.raises(StoreUnavailable, match=r"services\.json cannot be written: File too large; nothing was changed"):
            memory.save({})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [file.name for file in tmp_path.iterdir()] == ["services.json"], "nothing is left beside it"
    assert memory.load() == {"web": Remembered(restarts=1)}
