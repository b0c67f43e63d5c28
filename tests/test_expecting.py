"""Runs that others are to start: what is expected, when one was missed, and that it is told and over again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from headway import Client
from headway.configuration import load
from headway.errors import ConfigError
from headway.expecting.definition import Expected
from headway.expecting.judging import EARLY, Known, begun, due_at, judged
from headway.expecting.watch import FILE, Expecting
from headway.services.definition import Schedule
from registry_world import World, in_loop
from running import RunningExporter, Starter
from waiting import wait_until

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
NIGHTLY = Expected(name="dump", schedule=Schedule(cron="30 2 * * *", time_zone="UTC"), grace=15 * MINUTE)
HOURLY = Expected(name="sync", every=HOUR, grace=10 * MINUTE)


def at(day: int, hour: int, minute: int = 0) -> float:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC).timestamp()


# ── what is judged ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_schedule_is_judged_when_its_grace_is_over() -> None:
    known = Known(seen=at(1, 12))
    assert due_at(NIGHTLY, known) == at(2, 2, 30)
    assert judged(NIGHTLY, known, at(2, 2, 44)) is known, "there is time left"
    missed = judged(NIGHTLY, known, at(2, 2, 45))
    assert missed == Known(seen=at(2, 2, 30), missed=1, late_at=at(2, 2, 45))
    assert due_at(NIGHTLY, missed) == at(3, 2, 30)


@pytest.mark.parametrize("started", [-EARLY, 0, 14 * MINUTE])
def test_a_run_within_the_grace_is_in_time(started: float) -> None:
    known = begun(Known(seen=at(1, 12)), at(2, 2, 30) + started, "task")
    found = judged(NIGHTLY, known, at(2, 2, 45))
    assert (found.missed, found.late_at, found.seen, found.kind) == (0, None, at(2, 2, 30), "task")


def test_a_run_of_the_day_before_is_none_of_today() -> None:
    known = begun(Known(seen=at(1, 12)), at(1, 14), "cron")
    assert judged(NIGHTLY, known, at(2, 3)).missed == 1


def test_of_the_time_without_an_exporter_only_the_last_run_is_judged() -> None:
    asleep = Known(seen=at(1, 12))
    assert judged(NIGHTLY, asleep, at(5, 12)) == Known(seen=at(5, 2, 30), missed=1, late_at=at(5, 12))
    assert judged(NIGHTLY, begun(asleep, at(5, 2, 31), "cron"), at(5, 12)).missed == 0


def test_every_counts_from_the_last_beginning_and_again_each_time() -> None:
    known = Known(seen=at(1, 12))
    assert judged(HOURLY, known, at(1, 13, 9)) is known
    known = begun(known, at(1, 12, 50), "cron")
    assert judged(HOURLY, known, at(1, 13, 59)) is known
    once = judged(HOURLY, known, at(1, 14))
    assert (once.missed, once.seen, once.late_at) == (1, at(1, 13, 50), at(1, 14))
    assert judged(HOURLY, once, at(1, 14, 59)) is once
    assert judged(HOURLY, once, at(1, 20)).seen == at(1, 19, 50), "one more, however many there were"


def test_a_run_that_is_heard_of_too_late_was_not_missed() -> None:
    missed = judged(NIGHTLY, Known(seen=at(1, 12)), at(2, 3))
    assert missed.late_at == at(2, 3)
    assert begun(missed, at(2, 2, 31), "cron").late_at is None
    assert begun(missed, at(2, 9), "cron").late_at == at(2, 3), "it was late: what was told is over by the run itself"


# ── what is read ────────────────────────────────────────────────────────────────────────────────────────────────────


def read(tmp_path: Path, text: str) -> tuple[Expected, ...]:
    file = tmp_path / "headway.yaml"
    file.write_text(text)
    return load({}, {}, file).expected


def test_the_section_is_read_and_said_again(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
expect:
  Nightly dump: "30 2 * * *"
  weekly: {schedule: "@weekly", time_zone: Europe/Berlin, grace: 1h}
  sync: {every: 90m}
""",
    )
    said = {
        "Nightly dump": "30 2 * * *; grace 5m",
        "weekly": "0 0 * * 0 (Europe/Berlin); grace 1h",
        "sync": "every 1h 30m; grace 5m",
    }
    assert {one.name: str(one).removeprefix("schedule ") for one in found} == said
    assert [one.place.rpartition(":")[2] for one in found] == ["3", "4", "5"]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("{a: {every: 1h, schedule: '* * * * *'}}", "expect.a: give either schedule"),
        ("{a: {grace: 1h}}", "expect.a: give either schedule"),
        ("{a: '30 2 * *'}", "expect.a: '30 2 * *' cannot be used (4 fields); accepted: a cron expression"),
        ("{a: {schedule: '61 * * * *'}}", "expect.a.schedule: '61 * * * *' cannot be used"),
        ("{a: {every: 1h, time_zone: Europe/Berlin}}", "expect.a.time_zone: needs a schedule"),
        ("{a: {schedule: '* * * * *', time_zone: Nowhere}}", "expect.a.time_zone: 'Nowhere' cannot be used"),
        ("{a: {every: 0}}", "expect.a.every: '0' cannot be used"),
        ("{a: {evry: 1h}}", "unknown expect.a.evry: did you mean every?"),
        ("{a: }", "expect.a"),
    ],
)
def test_what_cannot_be_used_is_said_with_its_line(tmp_path: Path, section: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, f"expect: {section}\n")
    assert said in error.value.detail and "headway.yaml:1" in error.value.detail


def test_a_service_with_a_schedule_is_not_expected_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expect\.dump is a service with a schedule"):
        read(tmp_path, "services: {dump: {command: ./d, schedule: '@daily'}}\nexpect: {dump: {every: 1d}}\n")


# ── who looks ───────────────────────────────────────────────────────────────────────────────────────────────────────


@in_loop
async def test_what_is_known_outlives_the_exporter_which_waits_for_reports_after_its_start(tmp_path: Path) -> None:
    world = World()
    watch = Expecting([HOURLY], world.registry, tmp_path)
    await watch.load()
    world.create(id="one", name="sync")
    started = world.clock.now
    await watch.look()
    assert [(run.name, run.last_run_at, run.late_at) for run in watch.runs()] == [("sync", started, None)]

    world.clock.now += 2 * HOUR
    again = Expecting([HOURLY], World().registry, tmp_path)
    again.registry.clock = world.clock
    await again.load()
    await again.look()
    assert again.known["sync"].late_at is None, "what was reported while it was away may be on its way"
    world.clock.now += MINUTE
    await again.look()
    found = again.known["sync"]
    assert (found.last_run_at, found.missed, found.late_at) == (started, 1, world.clock.now)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


@in_loop
async def test_a_queued_run_has_not_begun(tmp_path: Path) -> None:
    world = World()
    watch = Expecting([HOURLY], world.registry, tmp_path)
    await watch.load()
    world.create(id="one", name="sync", status="queued")
    await watch.look()
    assert watch.known["sync"].last_run_at is None


def test_a_missed_run_is_told_until_the_next_one_begins(start_exporter: Starter, tmp_path: Path) -> None:
    file = tmp_path / "headway.yaml"
    file.write_text("sample_interval: 200ms\nexpect:\n  Nightly sync: {every: 10m, grace: 0}\n  often: {every: 1s, grace: 0}\n")
    exporter = start_exporter("--config", str(file))
    client = Client(exporter.url, exporter.key)
    labels = {"name": "often", "kind": "cron"}
    wait_until(figure(exporter, "headway_missed_runs_total", {**labels, "reason": "late"}), 30, "a missed run")
    wait_until(figure(exporter, "headway_name_condition", {**labels, "condition": "cron_missed"}), 30, "the condition of the name")
    report = client.report()
    assert re.search(r"^scheduled .*:\n- often \S+ \S+ -, missed \d+\n- Nightly sync ", report, re.M), report
    assert "headway up" not in report, "Headway does not start them"
    quiet = {"name": "Nightly sync", "kind": "cron"}
    due = figure(exporter, "headway_next_run_timestamp_seconds", quiet)()
    assert due is not None and 0 < due - time.time() <= 600
    assert figure(exporter, "headway_missed_runs_total", {**quiet, "reason": "late"})() == 0
    assert figure(exporter, "headway_service_status_code", {"service": "often", "group": ""})() is None, "it is no service"

    rows = {row["name"]: row for row in services_page(exporter)["expected"]}
    assert list(rows) == ["often", "Nightly sync"] and (rows["often"]["status"], rows["Nightly sync"]["status"]) == (
        "missed",
        "expected",
    )
    assert rows["often"]["missed"] >= 1 and "did not begin" in rows["often"]["said"]
    assert (rows["Nightly sync"]["missed"], rows["Nightly sync"]["last"], rows["Nightly sync"]["next"][:3]) == ("", "", "in ")

    client.create("Nightly sync", "cron")
    began = wait_until(figure(exporter, "headway_last_run_timestamp_seconds", quiet), 30, "the beginning of the run")
    assert began is not None and abs(began - time.time()) < 60
    client.close()


def services_page(exporter: RunningExporter) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {exporter.key}", "Accept": "application/json"}
    answer = requests.get(f"{exporter.url}/services", headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["data"]
    return found


def figure(exporter: RunningExporter, name: str, labels: dict[str, str]) -> Callable[[], float | None]:
    """Asks for it anew at each call; None where there is no such series. An empty label counts as none."""
    wanted = {key: word for key, word in labels.items() if word}

    def look() -> float | None:
        page = requests.get(f"{exporter.url}/metrics", headers={"Authorization": f"Bearer {exporter.key}"}, timeout=30).text
        found = (sample for family in text_string_to_metric_families(page) for sample in family.samples)
        said = (one.value for one in found if one.name == name and {k: w for k, w in one.labels.items() if w} == wanted)
        return next(said, None)

    return look
