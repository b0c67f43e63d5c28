"""What happens in a random history: a story for each gate, with what is just before its limit, at it and beyond."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from headway.model import Kind, Status
from headway.name_gates import Runs
from histories import LOOKS, STEP, History

WHOLE: Final = LOOKS * STEP


def silent(history: History) -> None:
    """Falls silent now and then, is paused, has children to three generations, works or is quiet meanwhile."""
    r, own = history.random, {"thresholds": {"stuck_after": history.random.choice((15, 30))}}
    names = [f"silent{n}" for n in range(r.choice((1, 1, 2, 4)))]
    for n, name in enumerate(names):
        kind = r.choice(("task", "pipeline", "subagent", "daemon"))
        parent = {"parent_id": names[n - 1]} if n else {}
        begin = history.moment(most=60)
        history.at(begin, history.create, name, name=name, type=kind, **parent, **(own if r.random() < 0.3 else {}))
        if r.random() < 0.2:
            history.at(begin, history.update, name, progress={"total": 9})
        for _ in range(r.choice((0, 1, 2, 4))):
            said = r.choice(({"log": "a line"}, {"progress": {"current": r.randrange(1, 99)}}, {"alive": True}))
            history.at(history.moment(begin), history.update, name, **said)
        if r.random() < 0.7:
            for _ in range(r.choice((1, 2))):
                since = history.moment(begin)
                history.at(since, _quiet, history, name)
                history.at(history.moment(since), history.sample, name, quiet_since=None, cpu_ratio=0.9)
        if r.random() < 0.2:
            pause = history.moment(begin)
            history.at(pause, history.update, name, status="paused")
            history.at(history.moment(pause), history.update, name, status="running")
        if r.random() < 0.3:
            history.at(history.moment(begin + 60), history.end, name, Status.DONE)


def _quiet(history: History, name: str) -> None:
    history.sample(name, quiet_since=history.now, cpu_ratio=0.0)


def asking(history: History) -> None:
    """Waits for a person now and then, itself or a child or grandchild; some are paused, or end, before anybody answers."""
    r = history.random
    names = [f"asking{n}" for n in range(r.choice((1, 2, 3)))]
    for n, name in enumerate(names):
        parent = {"parent_id": names[n - 1]} if n else {}
        own = r.choice(({}, {"thresholds": {"waiting_after": r.choice((0, 5, 45))}}))
        begin = history.moment(most=40)
        history.at(begin, history.create, name, name=name, type=r.choice(("task", "subagent", "daemon")), **parent, **own)
        history.at(begin, history.update, name, log="a line")
        for _ in range(r.choice((0, 1, 2)) if n < len(names) - 1 else 2):
            since = history.moment(begin)
            history.at(since, history.update, name, waiting_for=r.choice(("an answer", "approval")))
            if r.random() < 0.8:
                history.at(
                    history.moment(since), history.update, name, **r.choice(({"waiting_for": None}, {"waited_for": "approval"}))
                )
        if r.random() < 0.2:
            pause = history.moment(begin)
            history.at(pause, history.update, name, status="paused")
            history.at(history.moment(pause), history.update, name, status="running")
        if r.random() < 0.2:
            history.at(history.moment(begin + 60), history.end, name, Status.DONE)


def long(history: History) -> None:
    """Runs for a multiple of what is expected, or will by its estimate."""
    r, name = history.random, "long"
    expected = r.choice((10.0, 20.0, 40.0, 80.0))
    begin = history.moment(most=60)
    fields: dict[str, Any] = {}
    if r.random() < 0.6:
        fields["expected_duration"] = expected
    else:
        history.know(name, expected, r.choice((2, 3, 7)))
    if r.random() < 0.3:
        fields["thresholds"] = r.choice(({"time_sink_ratio": 1.5}, {"time_sink_ratio": 3.0}, {"time_sink_after": 30}))
    history.at(begin, history.create, name, name=name, type=r.choice(("task", "task", "daemon")), **fields)
    if r.random() < 0.6:
        for _ in range(r.choice((1, 2, 4))):
            history.at(history.moment(begin), history.update, name, eta_seconds=r.choice((0, 10, 20, 40, 100, 200)))
    if r.random() < 0.3:
        pause = history.moment(begin)
        history.at(pause, history.update, name, status="paused")
        history.at(history.moment(pause), history.update, name, status="running")
    if r.random() < 0.5:
        history.at(history.moment(begin + 30), history.update, name, status=r.choice(("done", "failed")))


def greedy(history: History) -> None:
    """Uses CPU or memory about its limit, while others wait about theirs; some are nested in each other."""
    r = history.random
    names = [f"greedy{n}" for n in range(r.choice((1, 2, 3, 4)))]
    for n, name in enumerate(names):
        parent = {"parent_id": r.choice(names[:n])} if n and r.random() < 0.3 else {}
        own = {"thresholds": {"cpu_ratio": 0.5}} if r.random() < 0.2 else {}
        history.at(0, history.create, name, name=name, type="task", **parent, **own)
        history.at(0, history.sample, name, cpu_ratio=0.1, cpu_wait_seconds=0.0, memory_ratio=0.1)
        for _ in range(r.choice((1, 3))):
            used = r.choice((0.0, 0.499, 0.5, 0.799, 0.8, 0.801, 2.0))
            history.at(history.moment(STEP), history.sample, name, cpu_ratio=used)
            if r.random() < 0.3:
                history.at(history.moment(STEP), history.sample, name, memory_ratio=r.choice((0.699, 0.7, 0.9)))
                history.at(history.moment(STEP), history.stalls.update, {name: r.choice((0.0, 0.099, 0.1, 0.5))})
        begin = history.moment(STEP)
        for look in range(int(begin / STEP), int(history.moment(begin) / STEP)):
            history.at(look * STEP, history.waits, name, r.choice((0.099, 0.1, 0.25, 0.25)))
        if r.random() < 0.2:
            history.at(history.moment(STEP), history.update, name, status="paused")


def late(history: History) -> None:
    """Has a timeout, and ends before it, after it, or because of it."""
    r, name = history.random, "late"
    begin = history.moment(most=60)
    queued = r.random() < 0.2
    given = {"status": "queued"} if queued else {}
    history.at(begin, history.create, name, name=name, type="task", timeout=r.choice((5, 20, 50, 100)), **given)
    if queued:
        begin = history.moment(begin, 100)
        history.at(begin, history.update, name, status="running")
    if r.random() < 0.3:
        history.at(history.moment(begin), history.update, name, timeout=r.choice((100, 200)))
    if r.random() < 0.3:
        history.at(history.moment(begin), history.update, name, status="paused")
    if r.random() < 0.7:
        ending = r.choice((Status.DONE, Status.FAILED, Status.TIMED_OUT, Status.ORPHANED))
        history.at(history.moment(begin + 20), history.end, name, ending)


def dead(history: History) -> None:
    """Has ended and is not reaped for a while; some wrote lines before."""
    r, name = history.random, "dead"
    history.at(0, history.create, name, name=name, type="task")
    if r.random() < 0.5:
        history.at(history.moment(most=60), history.update, name, log="a line")
    since = history.moment(STEP, 100)
    history.at(since, _zombie, history, name)
    if r.random() < 0.5:
        history.at(history.moment(since), history.sample, name, zombie_since=None)


def _zombie(history: History, name: str) -> None:
    history.sample(name, zombie_since=history.now)


def twice(history: History) -> None:
    """Runs what another runs, in the same directory or not; ends, or is a worker of the same parent."""
    r = history.random
    workers = r.random() < 0.2
    if workers:
        history.at(0, history.create, "pool", name="pool", type="task")
    for n in range(r.choice((2, 2, 3))):
        name, begin = f"twice{n}", history.moment(most=100)
        parent = {"parent_id": "pool"} if workers else {}
        command, cwd = r.choice(("make all",) * 5 + ("make one",)), r.choice(("/src",) * 5 + ("/other",))
        history.at(begin, history.create, name, name=name, type="task", command=command, cwd=cwd, **parent)
        if r.random() < 0.6:
            history.at(history.moment(begin), history.update, name, status=r.choice(("done", "paused", "stopping")))


def failing(history: History) -> None:
    """The same name again and again, with good and bad ends."""
    r, begin = history.random, 0.0
    luck = r.choice((0.2, 0.5))
    for n in range(r.choice((4, 6, 9))):
        begin = history.moment(begin, begin + 40)
        end = begin + r.choice((0.0, STEP / 4, STEP))
        history.at(begin, history.create, f"run{n}", name="nightly", type="cron")
        ending = (
            Status.DONE if r.random() < luck else r.choice((Status.FAILED, Status.TIMED_OUT, Status.ORPHANED, Status.CANCELLED))
        )
        history.at(end, history.end, f"run{n}", ending)
        begin = end


def unscheduled(history: History) -> None:
    """A schedule that begins its runs, misses them, or leaves them out."""
    r = history.random
    history.schedules.append(Runs(name="backup", kind=Kind.CRON, last_run_at=None, late_at=None, overlapped_at=None))
    for _ in range(r.choice((2, 4))):
        what = r.choice(("last_run_at", "late_at", "overlapped_at"))
        moment = history.moment()
        history.at(moment, history.schedule, 0, **{what: history.start + moment})


STORIES: Final[Sequence[Callable[[History], None]]] = (silent, asking, long, greedy, late, dead, twice, failing, unscheduled)
# Of some most come to nothing: they have more turns.
TURNS: Final = (*STORIES, long, twice, failing)


def told(number: int, seed: int, start: float, wanted: frozenset[str]) -> History:
    """History `number` of a seed: one story that is its turn, and perhaps others beside it."""
    history = History(f"h{number}", f"{seed}/{number}", start, wanted)
    beside = [story for story in STORIES if history.random.random() < 0.15]
    for story in dict.fromkeys((TURNS[number % len(TURNS)], *beside)):
        story(history)
    return history
