"""Never the wrong process: whoever has the pid of another, is spared, or cannot be held, is left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from endings import changed, end, parent_of, pids, target_of
from headway.ending import work
from headway.ending.base import Spared, Target
from headway.ending.system import Facts, OSSystem
from headway.ending.trees import look_at
from headway.model import OSProcess
from headway.sampler.base import host_here, identify
from headway.sampler.host import Row
from kernel import Kernel
from osprocesses import Started, runs, with_pid
from waiting import wait_until

ROOT = os.geteuid() == 0
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="real trees are read from /proc")


@pytest.mark.skipif(not ROOT, reason="only root may choose the next pid")
def test_a_pid_that_was_given_to_someone_else_is_not_signalled(start: Started) -> None:
    old = start("say('ready'); rest()", ready=True)
    meant = old.process
    began = time.monotonic()
    old.child.kill()
    old.child.wait(30)
    # Within two seconds no pid comes round again on its own; here it is forced to.
    wait_until(lambda: time.monotonic() - began > 2.3, what="a while")
    new = with_pid(meant.pid, start)
    if new is None:
        pytest.skip("the pid was not to be had")
    (outcome,) = end(meant)
    assert outcome.gone and outcome.root_ended and not outcome.ended and outcome.signal is None
    assert runs(new.pid)


@pytest.mark.parametrize("pidfd", [True, False])
def test_a_pid_that_changes_hands_between_look_and_signal_is_not_signalled(start: Started, pidfd: bool) -> None:
    script = start("say('ready'); rest()", ready=True)

    class Late(type(host_here())):  # type: ignore[misc]
        """The table shows the one that was meant; at the moment of the signal someone else has the pid."""

        def row(self, pid: int) -> Row | None:
            row: Row | None = super().row(pid)
            return None if row is None else changed(row, started=row.started + 1)

    (outcome,) = end(script.process, grace=0.1, host=Late())
    assert runs(script.pid) and script.child.poll() is None
    assert outcome.signal is None and pids([left.process for left in outcome.survivors]) == {script.pid}


def test_a_descriptor_never_reaches_who_has_the_pid_now(start: Started) -> None:
    script = start("say('ready'); rest()", ready=True)
    grip = OSSystem().hold(script.pid, lambda: True)
    script.child.kill()
    script.child.wait(30)
    assert grip.ended()
    with pytest.raises(ProcessLookupError):
        grip.send(signal.SIGTERM)
    grip.close()


@pytest.mark.parametrize("signal", [signal.SIGTERM, signal.SIGKILL])
def test_init_the_exporter_and_what_it_runs_below_are_never_touched(start: Started, signal: int) -> None:
    """The exporter is played by a script below another one: were it signalled, it would end."""
    above = start("fork(lambda: (say(os.getpid(), fork(rest)), rest())); rest()")
    exporter, below = above.pids()

    class Elsewhere(OSSystem):
        @property
        def own_pid(self) -> int:
            return exporter

        def hold(self, pid: int, same: Callable[[], bool]) -> Any:
            assert pid in (above.pid, exporter, below), "this test must not hit who it did not start, whatever breaks"
            return super().hold(pid, same)

    chain = {1, exporter, above.pid, os.getpid()}
    roots = [root for pid in chain if (root := identify(pid)) is not None]
    for outcome in end(*roots, signal=signal, grace=0.2, system=Elsewhere()):
        assert outcome.barred and not outcome.ended and not outcome.members, outcome
    assert all(map(runs, (above.pid, exporter, below)))
    reasons = {outcome.root.pid: outcome.barred for outcome in end(*roots, system=Elsewhere())}
    assert "init" in str(reasons[1]) and "itself" in str(reasons[exporter]) and "below" in str(reasons[above.pid])


def test_the_exporter_within_a_session_that_is_ended_survives_with_its_children(start: Started) -> None:
    """The root is no ancestor any more: the exporter was double-forked out of it and shares only its session."""
    script = start("fork(lambda: fork(lambda: (say(os.getpid(), fork(rest)), rest()))); rest()")
    exporter, child = script.pids()
    wait_until(lambda: parent_of(parent_of(exporter)) != script.pid, what="its adoption")

    class Elsewhere(OSSystem):
        @property
        def own_pid(self) -> int:
            return exporter

    (outcome,) = end(script.process, system=Elsewhere())
    assert outcome.root_ended and runs(exporter) and runs(child)
    assert exporter in {left.process.pid for left in outcome.spared}


def test_orphans_that_the_exporter_adopted_are_no_reason_to_spare_them(start: Started) -> None:
    """As the first process of a container does: what loses its parent becomes its child."""
    script = start(
        """
import ctypes
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
def root():
    os.setsid()
    fork(lambda: say(os.getppid(), fork(rest)))
    rest()
fork(root)
rest()
"""
    )
    root, daemon = script.pids()
    wait_until(lambda: parent_of(daemon) == script.pid, what="its adoption")

    class Elsewhere(OSSystem):
        @property
        def own_pid(self) -> int:
            return script.pid

    found = identify(root)
    assert found is not None
    (outcome,) = end(found, system=Elsewhere())
    assert pids(outcome.ended) >= {root, daemon} and not runs(daemon) and runs(script.pid)


def test_who_is_spared_survives_with_all_it_runs(start: Started) -> None:
    script = start("fork(lambda: (say(os.getpid(), fork(rest)), rest())); say(fork(rest)); rest()")
    lines = [script.pids(), script.pids()]
    (plain,), (executor, worker) = sorted(lines, key=len)
    root = identify(executor)
    assert root is not None
    (outcome,) = end(script.process, spared=[Spared(root, "it is an executor")])
    assert pids(outcome.ended) == {script.pid, plain}
    assert runs(executor) and runs(worker)
    assert [(left.process.pid, left.reason) for left in outcome.spared] == [(executor, "it is an executor")]


def test_threads_of_the_kernel_are_left_alone() -> None:
    class Kernelish(OSSystem):
        def facts(self, pid: int) -> Facts:
            return Facts("S", True, 0)

    world = Kernel()
    thread = world.fork(1)
    row = world.row(thread)
    assert row is not None
    line = changed(row, resident=0)

    class Table:
        def rows(self) -> dict[int, Row]:
            return {thread: line}

        def row(self, pid: int) -> Row | None:
            return self.rows().get(pid)

        def hidden(self, pid: int) -> bool:
            return False

    (outcome,) = look_at([Target("t", OSProcess(thread, row.create_time))], Table(), Kernelish())  # type: ignore[arg-type]
    assert outcome.barred == "it is a thread of the kernel" and not outcome.members


@pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
def test_a_process_of_another_user_is_a_survivor_with_the_reason(start: Started) -> None:
    """The killer runs as nobody; one child of the tree is root's, the other its own."""
    script = start("say(fork(rest), fork(lambda: (os.setuid(65534), rest()))); rest()")
    roots, nobodys = script.pids()
    wait_until(lambda: Path(f"/proc/{nobodys}").stat().st_uid == 65534, what="its new user")
    code = """
import json, os, sys
sys.path[:0] = json.loads(sys.argv[2])
from headway.ending.base import Target
from headway.ending.system import Facts, OSSystem
from headway.ending.trees import end_trees
from headway.sampler.base import host_here, identify
host, system = host_here(), OSSystem()
root = identify(int(sys.argv[1]))
os.setgid(65534); os.setuid(65534)
(outcome,) = end_trees([Target("t", root)], signal=15, grace=5, host=host, system=system)
print(json.dumps([outcome.root_ended, outcome.refused, [p.pid for p in outcome.ended],
                  {left.process.pid: left.reason for left in outcome.survivors}]))
"""
    command = [sys.executable, "-c", code, str(script.pid), json.dumps([p for p in sys.path if p])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    ended, refused, gone, survivors = json.loads(done.stdout)
    assert not ended and "root" in refused
    assert gone == [nobodys] and not runs(nobodys)
    assert set(survivors) == {str(script.pid), str(roots)} and all("not permitted" in why for why in survivors.values())
    assert runs(roots) and runs(script.pid)


def test_who_does_not_end_is_listed(start: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one does that waits for a dead disk: the signals go out, and nothing happens."""
    monkeypatch.setattr(work, "KILL_WAIT", 0.2)
    script = start("say(fork(rest)); rest()")
    (child,) = script.pids()

    class Dead:
        """Takes every signal for a process that cannot die."""

        def send(self, number: int) -> None: ...
        def ended(self) -> bool | None:
            return None

        def close(self) -> None: ...

    class Stuck(OSSystem):
        def hold(self, pid: int, same: Callable[[], bool]) -> Any:
            return Dead() if pid == child else super().hold(pid, same)

    (outcome,) = end(script.process, grace=0.1, system=Stuck())
    assert outcome.root_ended
    assert [(left.process.pid, left.reason) for left in outcome.survivors] == [(child, "it did not end")]
    assert runs(child) and child not in pids(outcome.ended)


def test_one_that_is_hidden_is_not_taken_for_gone(start: Started) -> None:
    script = start("say('ready'); rest()", ready=True)

    class Hiding(type(host_here())):  # type: ignore[misc]
        def rows(self) -> dict[int, Row]:
            return {pid: row for pid, row in super().rows().items() if pid != script.pid}

        def hidden(self, pid: int) -> bool:
            return True

    (outcome,) = end(script.process, host=Hiding())
    assert outcome.refused and not outcome.gone and not outcome.root_ended and runs(script.pid)


def test_looking_touches_nothing(start: Started) -> None:
    script = start("say(fork(rest)); rest()")
    (child,) = script.pids()
    (outcome,) = look_at([Target("t", script.process)], host_here(), OSSystem())
    assert pids(outcome.members) == {script.pid, child} and not outcome.ended and outcome.signal is None
    assert runs(child) and runs(script.pid)


def test_giving_up_ends_the_grace_and_kills_nobody(start: Started) -> None:
    script = start("deaf(); say('ready'); rest()", ready=True)
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    (outcome,) = end(script.process, grace=50, give_up=stop.is_set)
    assert time.monotonic() - began < 30 and runs(script.pid)
    assert not outcome.root_ended and len(outcome.survivors) == 1


def test_more_members_than_descriptors_to_spare(start: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "MOST_HELD", 2)
    script = start("say(*[fork(rest) for _ in range(6)]); rest()")
    children = script.pids()
    (outcome,) = end(script.process)
    assert len(outcome.ended) == 7 and not any(map(runs, children))
    assert not [handle for handle in Path("/proc/self/fd").iterdir() if "pidfd" in target_of(handle)]
