"""Looking at trees, ending them, and pausing and resuming them. Identity is checked at each signal, "ended" is said of what was
seen to end, and what must not be touched is not, whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from signal import SIGCONT, SIGKILL

from headway.ending.base import Outcome, Spared, Target
from headway.ending.family import key_of
from headway.ending.system import System
from headway.ending.work import Work, stands
from headway.sampler.host import Host


def look_at(targets: Sequence[Target], host: Host, system: System, spared: Sequence[Spared] = ()) -> list[Outcome]:
    """Who would be hit. Touches nothing."""
    work = Work(targets, host, system, spared)
    return work.outcomes()


def end_trees(
    targets: Sequence[Target],
    *,
    signal: int,
    grace: float,
    host: Host,
    system: System,
    spared: Sequence[Spared] = (),
    give_up: Callable[[], bool] = lambda: False,
) -> list[Outcome]:
    """Ends whole trees: `signal` to everyone, children first, also to those that are forked meanwhile; SIGKILL to who lives after
    `grace` seconds. `give_up` is asked now and then: once true the grace is over, and who lives is left alive."""
    work = Work(targets, host, system, spared)
    try:
        if signal != SIGKILL:
            work.ask(signal, grace, give_up)
        if not give_up():
            work.kill()
    finally:
        work.close()
    return work.outcomes()


def pause_trees(targets: Sequence[Target], host: Host, system: System, spared: Sequence[Spared] = ()) -> list[Outcome]:
    """Stops whole trees, parents first. `survivors` are those that could not be stopped."""
    work = Work(targets, host, system, spared)
    try:
        work.freeze()
    finally:
        work.close()
    return work.outcomes(lambda row: stands(system, row.pid), "it could not be stopped")


def resume_trees(targets: Sequence[Target], host: Host, system: System, spared: Sequence[Spared] = ()) -> list[Outcome]:
    """Lets whole trees go on, children first. `survivors` are those that could not be reached."""
    work = Work(targets, host, system, spared)
    try:
        work.send_all(work.alive(), SIGCONT)
    finally:
        work.close()
    return work.outcomes(lambda row: key_of(row) not in work.refused, "it could not be reached")
