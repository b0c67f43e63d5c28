"""Random records with hostile texts, what their exposition must say, and promtool, for the tests of metrics and collector."""

from __future__ import annotations

import random
import re
import shutil
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headway.metrics.families import NAME_FAMILIES, PROCESS_FAMILIES
from headway.metrics.family import Family, Shown
from headway.model import (
    STATES,
    Activity,
    Condition,
    ConditionReport,
    Kind,
    OSProcess,
    Paused,
    Process,
    Queued,
    Running,
    Severity,
    Spec,
    Starting,
    State,
    Status,
    Stopping,
    Waiting,
)
from headway.names import NameStats
from headway.samples import Sample
from headway.used import Used
from headway.view import Limits, View

ROOT = Path(__file__).parent.parent
START = 1_790_000_000.0
LIMITS = Limits(
    stuck_after=60.0,
    time_sink_ratio=2.0,
    cpu_ratio=0.8,
    memory_ratio=0.7,
    time_sink_critical_ratio=3.0,
    time_sink_after=10.0,
    waiting_after=60.0,
)
NO_LIMITS = Limits(stuck_after=None, time_sink_ratio=None, cpu_ratio=None, memory_ratio=None)
HOSTILE = (
    'a "quoted" one',
    "two\nlines\r\n",
    "back\\slash \\n \\\\ \\",
    "\U0001f680 rocket \u00e9\u4e2d \u202ertl",
    'x"} 1\nheadway_process_status_code{id="fake"} 3\n# EOF\n',
    "nul \x00 and bell \x07 and next line \x85 and separator \u2028",
    "lone \ud800 surrogate \udfff",
    "  spaces  ",
    "{braces} = commas, # hash",
    "$1 ${2} %d %s {0}",
    "long " + '"\\\n\u00e9' * 2_500,
)
Series = tuple[str, tuple[tuple[str, str], ...]]


def process(
    process_id: str = "p1",
    state: State | None = None,
    *,
    name: str = "Job",
    kind: Kind = Kind.TASK,
    metadata: Mapping[str, Any] | None = None,
    activity: Activity | None = None,
    **spec: Any,
) -> Process:
    return Process(
        id=process_id,
        spec=Spec(name=name, kind=kind, created_at=START, **spec),
        state=state or Running(START + 1),
        activity=activity or Activity(updated_at=START + 2),
        metadata=metadata or {},
    )


def view(process_id: str = "p1", state: State | None = None, *, now: float = START + 10, **given: Any) -> View:
    """A view of a process; arguments of View go there, all others to `process`."""
    own = {key: given.pop(key) for key in list(given) if key in View.__dataclass_fields__}
    return View(process=process(process_id, state, **given), now=now, **{"limits": LIMITS, **own})


def ended_state(status: Status, at: float = START + 60, **fields: Any) -> State:
    return STATES[status](started_at=START + 1, finished_at=at, **fields)  # type: ignore[call-arg]


class Maker:
    """Random views and totals. Every optional fact is sometimes missing."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0

    def text(self) -> str:
        r = self.random
        if r.random() < 0.01:
            return HOSTILE[-1]
        if r.random() < 0.5:
            return r.choice(HOSTILE[:-1])
        return "".join(r.choices(string.printable + "\u00e9\u4e2d\U0001f680\ud83d", k=r.randint(1, 20)))

    def maybe(self, make: Callable[[], Any]) -> Any:
        return make() if self.random.random() < 0.7 else None

    def number(self) -> float:
        r = self.random
        return r.choice(
            (r.random(), r.random() * 1e9, r.random() * 1e-9, float(r.randint(0, 10**6)), 5e-324, 1.7e308, 1e22, 0.1 + 0.2)
        )

    def time(self) -> float:
        return START + self.random.random() * 1e4

    def sample(self) -> Sample:
        count = lambda: self.random.randint(0, 2**53)  # noqa: E731
        return Sample(
            at=self.time(),
            alive=True,
            cpu_seconds=self.maybe(self.number),
            cpu_ratio=self.maybe(self.number),
            cpu_wait_seconds=self.maybe(self.number),
            major_faults=self.maybe(count),
            resident_bytes=self.maybe(count),
            memory_ratio=self.maybe(self.number),
            io_read_bytes=self.maybe(count),
            io_written_bytes=self.maybe(count),
            threads=self.maybe(count),
            open_fds=self.maybe(count),
            os_processes=self.maybe(count),
            proportional_bytes=self.maybe(count),
            quiet_since=self.maybe(self.time),
            zombie_since=self.maybe(self.time),
        )

    def state(self) -> State:
        at, maybe, r = self.time(), self.maybe, self.random
        status = r.choice(list(Status))
        match status:
            case Status.QUEUED:
                return Queued()
            case Status.STARTING:
                return Starting(at)
            case Status.RUNNING:
                return Running(at)
            case Status.PAUSED:
                return Paused(at, at + 1)
            case Status.STOPPING:
                return Stopping(maybe(self.time), at)
        facts: dict[str, Any] = {"started_at": maybe(self.time), "finished_at": at}
        if status is not Status.ORPHANED:
            facts["exit_code"] = maybe(lambda: r.randint(-64, 255))
        if status is not Status.DONE:
            facts["error"] = maybe(self.text)
        return STATES[status](**facts)

    def activity(self) -> Activity:
        return Activity(
            updated_at=self.time(),
            current=self.maybe(self.number),
            total=self.maybe(self.number),
            unit=self.maybe(self.text),
            summary=self.maybe(self.text),
            last_output_at=self.maybe(self.time),
            last_progress_at=self.maybe(self.time),
            waiting=self.maybe(lambda: Waiting(self.text(), self.time(), self.maybe(self.time))),
        )

    def metadata(self) -> dict[str, Any]:
        odd = self.random.choice((12, 3.5, -1, True, "many", None, 10**400, float("nan"), {"input": 1}))
        return self.random.choice(
            (
                {},
                {"tokens": {"input": 5, "output": odd}, "cost_dollars": odd},
                {"tokens_in": odd, "tokens_out": 7, "cost_dollars": 0.25},
                {"tokens": odd},
            )
        )

    def view(self) -> View:
        self.count += 1
        text, maybe, r = self.text, self.maybe, self.random
        spec = Spec(
            name=text(),
            kind=r.choice(list(Kind)),
            created_at=self.time(),
            user=maybe(text),
            project=maybe(text),
            task=maybe(text),
            attempt=maybe(text),
            agent=maybe(text),
            group=maybe(text),
            parent_id=maybe(lambda: f"id{r.randint(1, 99)}"),
            os_process=maybe(lambda: OSProcess(r.randint(2, 99_999), self.time())),
            timeout=maybe(self.number),
        )
        made = Process(id=f"id{self.count}", spec=spec, state=self.state(), activity=self.activity(), metadata=self.metadata())
        return self.derived(made)

    def derived(self, made: Process) -> View:
        r = self.random
        if made.status.ended:
            dismissed = replace(made, dismissed_at=self.maybe(self.time))
            return View(process=dismissed, now=self.time(), limits=LIMITS, expected_duration=self.maybe(self.number))
        reports = tuple(
            ConditionReport(condition, Severity.WARNING, self.time(), self.text())
            for condition in r.sample(list(Condition), r.randint(0, 3))
        )
        return View(
            process=made,
            now=self.time(),
            limits=r.choice((LIMITS, NO_LIMITS)),
            rate=self.maybe(self.number),
            eta=self.maybe(lambda: r.random() * 1e5),
            expected_duration=self.maybe(self.number),
            expected_runs=self.maybe(lambda: r.randint(3, 10)),
            sample=self.maybe(self.sample),
            conditions=reports,
            blocked_by=tuple(f"id{r.randint(1, 3)}" for _ in range(r.randint(0, 3))),
        )

    def moved(self, before: View) -> View:
        """The same process a little later: some part of it changed."""
        made = before.process
        change = self.random.randrange(7)
        if change == 0:
            made = replace(made, activity=self.activity())
        elif change == 1:
            made = replace(made, state=self.state())
        elif change == 2:
            made = replace(made, spec=replace(made.spec, user=self.text(), timeout=self.maybe(self.number)))
        elif change == 3:
            made = replace(made, metadata=self.metadata())
        elif change == 4:
            made = replace(made, activity=replace(made.activity, unit=self.text()))
        elif change == 5 and made.status.ended:
            made = replace(made, dismissed_at=self.maybe(self.time))
        if made.status.active == before.process.status.active and self.random.random() < 0.5:
            return replace(before, process=made)
        return self.derived(made)

    def stats(self, name: str) -> NameStats:
        stats = NameStats(name=name, kind=self.random.choice(list(Kind)))
        for _ in range(self.random.randint(0, 4)):
            ended = self.random.choice([status for status in Status if status.ended])
            stats = stats.with_end(process(state=ended_state(ended, START + 1 + self.random.random() * 1e5)))
        if self.random.random() < 0.5:
            stats = stats.with_gate_trip(self.random.choice(("stuck", "orphaned")))
        if self.random.random() < 0.5:
            stats = stats.with_use(Used(self.random.random() * 1e5, self.random.randrange(2**50), 3, 1.5, 2**40))
        return stats


def cleaned(text: str) -> str:
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def expected(views: Iterable[View], names: Iterable[NameStats] = ()) -> dict[Series, float]:
    """All series of these, straight from the table, without any of the code that writes lines."""
    found: dict[Series, float] = {}

    def add(family: Family, own: dict[str, str], source: Any) -> None:
        assert (family.value is None) != (family.rows is None), family.name
        rows = family.rows(source) if family.rows else (("", (), family.read(source)),) if family.value else ()
        for suffix, extra, number in rows:
            given = {**own, **dict(zip(family.labels, extra, strict=len(extra) > 0))}
            if number is None or number != number or abs(number) == float("inf"):
                continue
            labels = tuple(sorted((key, cleaned(text)) for key, text in given.items() if text))
            assert (family.name + suffix, labels) not in found, "a series twice"
            found[family.name + suffix, labels] = float(number)

    for item in views:
        made = item.process
        shown = (Shown.ALWAYS, Shown.ACTIVE if made.status.active else Shown.ENDED)
        for family in PROCESS_FAMILIES:
            if family.shown in shown:
                add(family, {"id": made.id, "name": made.name, "kind": made.kind.value}, item)
    for stats in names:
        for family in NAME_FAMILIES:
            add(family, {"name": stats.name, "kind": stats.kind.value}, stats)
    return found


def without_own(page: bytes) -> bytes:
    """The page without the exporter's own health, which begins with headway_build, and without the mark of the end."""
    return page[: page.index(b"# HELP headway_build")]


def promtool() -> str:
    """The real promtool: of this checkout (`make up` gets it), else on PATH."""
    found = shutil.which("promtool", path=str(ROOT / ".headway" / "bin")) or shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed; `make up` gets it")
    return found
