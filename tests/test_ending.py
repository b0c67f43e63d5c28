"""Ending trees of real OS processes: who is hit, in which order, and who never is."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from endings import changed, end, parent_of, pids
from headway.ending.base import Target
from headway.ending.family import Family, Look, has_ended
from headway.ending.picture import picture_of
from headway.ending.signals import parse_signal
from headway.ending.system import OSSystem
from headway.ending.trees import pause_trees, resume_trees
from headway.errors import InvalidInput
from headway.sampler.base import host_here, identify
from kernel import Kernel
from osprocesses import Started, runs, state, wait_gone
from waiting import wait_until

ROOT = os.geteuid() == 0
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="real trees are read from /proc")


# ── the tree ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Noting(OSSystem):
    """Keeps what was sent to whom, in order."""

    def __init__(self, pidfd: bool = True) -> None:
        super().__init__(pidfd=pidfd)
        self.sent: list[tuple[int, int]] = []

    def hold(self, pid: int, same: Callable[[], bool]) -> Any:
        grip, sent = super().hold(pid, same), self.sent

        class Noted:
            ended, close = grip.ended, grip.close

            def send(self, number: int) -> None:
                grip.send(number)
                sent.append((pid, number))

        return Noted()


@pytest.mark.parametrize("pidfd", [True, False])
def test_a_whole_tree_ends_politely_children_first(start: Started, pidfd: bool) -> None:
    script = start("fork(lambda: (say(os.getpid(), fork(rest)), rest())); rest()")
    (middle, leaf), root = script.pids(), script.pid
    began, system = time.monotonic(), Noting(pidfd)
    (outcome,) = end(script.process, system=system, grace=50)
    assert time.monotonic() - began < 30
    assert not any(map(runs, (root, middle, leaf)))
    assert outcome.root_ended and outcome.signal == signal.SIGTERM and pids(outcome.ended) == {root, middle, leaf}
    assert not outcome.survivors and not outcome.gone
    assert system.sent == [(pid, signal.SIGTERM) for pid in (leaf, middle, root)]


def test_the_hard_way_stops_parents_first_and_kills_children_first(start: Started) -> None:
    script = start("deaf(); fork(lambda: (say(os.getpid(), fork(rest)), rest())); rest()")
    (middle, leaf), root = script.pids(), script.pid
    system = Noting()
    end(script.process, signal=signal.SIGKILL, system=system)
    assert system.sent == [
        *[(pid, signal.SIGSTOP) for pid in (root, middle, leaf)],
        *[(pid, signal.SIGKILL) for pid in (leaf, middle, root)],
    ]


def test_who_ignores_sigterm_is_killed_after_the_grace(start: Started) -> None:
    script = start("deaf(); say('ready'); rest()", ready=True)
    began = time.monotonic()
    (outcome,) = end(script.process, grace=0.4)
    assert 0.4 <= time.monotonic() - began < 20
    assert outcome.root_ended and outcome.signal == signal.SIGKILL
    assert script.child.wait(30) == -signal.SIGKILL


def test_the_chosen_signal_is_the_one_that_arrives(start: Started) -> None:
    script = start("say('ready'); rest()", ready=True)
    end(script.process, signal=signal.SIGUSR1)
    assert script.child.wait(30) == -signal.SIGUSR1


def test_sigkill_at_once_has_no_grace(start: Started) -> None:
    script = start("deaf(); fork(rest); say('ready'); rest()", ready=True)
    began = time.monotonic()
    (outcome,) = end(script.process, signal=signal.SIGKILL, grace=50)
    assert time.monotonic() - began < 30 and len(outcome.ended) == 2


def test_who_stands_still_is_ended_too(start: Started) -> None:
    script = start("say('ready'); rest()", ready=True)
    script.child.send_signal(signal.SIGSTOP)
    wait_until(lambda: state(script.pid) == "T", what="its stop")
    (outcome,) = end(script.process)
    assert outcome.root_ended and script.child.wait(30) == -signal.SIGTERM


def test_a_double_forked_daemon_in_the_session_ends_with_its_tree(start: Started) -> None:
    """Its parent is init by now; only the session, which the root leads, says where it belongs."""
    script = start("fork(lambda: say(fork(rest))); rest()")
    (daemon,) = script.pids()
    wait_until(lambda: parent_of(daemon) != script.pid and parent_of(parent_of(daemon)) != script.pid, what="its adoption")
    (outcome,) = end(script.process)
    assert daemon in pids(outcome.ended) and not runs(daemon)


def test_a_session_that_a_member_leads_belongs_to_the_tree(start: Started) -> None:
    """A daemon in the making: its own session, its own child, adopted when its parent leaves at the first signal."""
    script = start("fork(lambda: (os.setsid(), say(os.getpid(), fork(lambda: (deaf(), rest()))), rest())); rest()")
    leader, deaf = script.pids()
    (outcome,) = end(script.process, grace=0.4)
    assert pids(outcome.ended) == {script.pid, leader, deaf} and not runs(deaf)


def test_a_shared_group_and_session_are_no_reason_to_end_anybody(start: Started) -> None:
    """A pipeline's neighbour: same process group, same session, same parent, but not below the root."""
    script = start(
        """
one, other = fork(rest), fork(rest)
os.setpgid(one, one)
os.setpgid(other, one)
say(one, other)
rest()
"""
    )
    one, other = script.pids()
    assert os.getpgid(one) == os.getpgid(other) == one, "one leads the group of both"
    root = identify(one)
    assert root is not None
    (outcome,) = end(root)
    assert pids(outcome.ended) == {one} and not runs(one)
    assert runs(other) and runs(script.pid)


def test_children_forked_during_the_kill_are_caught(start: Started, tmp_path: Path) -> None:
    """Nobody here listens, and each child is replaced when it ends: without freezing the tree one would always be left."""
    seen = tmp_path / "seen"
    script = start(
        f"""
deaf()
def work():
    note({str(seen)!r})
    rest()
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
children = [fork(work) for _ in range(3)]
say('ready')
until = time.monotonic() + 20
for _ in range(400):
    if time.monotonic() > until:
        break
    for child in children[-3:]:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            children.append(fork(work))
    children.append(fork(lambda: (note({str(seen)!r}), time.sleep(0.05))))
    time.sleep(0.002)
rest()
""",
        ready=True,
    )
    (outcome,) = end(script.process, grace=0.2)
    born = {int(line) for line in seen.read_text().split()}
    assert outcome.root_ended and not outcome.survivors
    assert len(born) > 3, "it did fork meanwhile"
    wait_gone(*born)


def test_a_zombie_counts_as_ended(start: Started) -> None:
    script = start("say(fork(lambda: None)); rest()")
    (zombie,) = script.pids()
    wait_until(lambda: state(zombie) == "Z", what="the zombie")
    root = identify(zombie)
    assert root is not None
    (outcome,) = end(root)
    assert outcome.root_ended and not outcome.survivors and outcome.signal is None
    assert runs(script.pid)


def test_a_first_thread_that_ended_is_no_zombie(start: Started) -> None:
    """The kernel shows a program as a zombie whose first thread has left, though others go on."""
    script = start(
        """
import ctypes, threading
threading.Thread(target=rest).start()
say('ready')
ctypes.CDLL(None).pthread_exit(None)
""",
        ready=True,
    )
    wait_until(lambda: state(script.pid) == "Z", what="the end of the first thread")
    assert script.child.poll() is None
    (outcome,) = end(script.process)
    assert outcome.root_ended and outcome.signal == signal.SIGTERM
    assert script.child.wait(30) == -signal.SIGTERM


# ── pausing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_pause_stops_the_tree_and_resume_lets_it_go_on(start: Started) -> None:
    script = start("say(fork(rest)); rest()")
    (child,) = script.pids()
    target = Target("t", script.process)
    (outcome,) = pause_trees([target], host_here(), OSSystem())
    assert state(child) == state(script.pid) == "T"
    assert pids(outcome.members) == {script.pid, child} and not outcome.survivors
    (outcome,) = resume_trees([target], host_here(), OSSystem())
    assert not outcome.survivors
    wait_until(lambda: state(child) == state(script.pid) == "S", what="its going on")


# ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_children_of_who_had_the_parents_pid_before_are_no_members() -> None:
    """The table is not read in one moment: a pid may have changed hands between the lines."""
    world = Kernel()
    root = world.fork(1)
    child, stranger = world.fork(root), world.fork(1)
    rows = world.rows()
    rows[stranger] = changed(rows[stranger], ppid=root, started=rows[root].started - 5)
    family = Family(rows[root])
    assert {row.pid for row in family.follow(Look(rows), world.row, lambda row: None)} == {root, child}
    late = Family(rows[root])
    found = late.follow(Look(rows), lambda pid: changed(rows[pid], started=99.0), lambda row: None)
    assert {row.pid for row in found} == {root}, "the parent is someone else by now: nothing is known of these children"


def test_a_zombie_with_threads_has_not_ended() -> None:
    world = Kernel()
    row = world.row(world.fork(1))
    assert row is not None
    assert has_ended(None) and has_ended(changed(row, zombie=True, threads=1)) and not has_ended(row)
    assert not has_ended(changed(row, zombie=True, threads=2))


@pytest.mark.parametrize("value", ["SIGTERM", "term", "Term", "15", 15])
def test_signals_by_name_and_number(value: str | int) -> None:
    assert parse_signal(value) is signal.SIGTERM


@pytest.mark.parametrize("value", ["SIGSTOP", "SIGSEGV", "0", -9, 64, "", "SIG", "kill -9"])
def test_signals_that_make_no_sense_are_refused(value: str | int) -> None:
    with pytest.raises(InvalidInput, match="SIGTERM"):
        parse_signal(value)


def test_a_picture_shows_commands_masked_and_cpu(start: Started) -> None:
    script = start("fork(busy); say('ready'); rest()", "--password", "s3cret words", ready=True)
    root, child = picture_of(Target("t", script.process), host_here(), OSSystem())
    assert (root.process.pid, root.parent, child.parent) == (script.pid, None, script.pid)
    assert root.command is not None and "s3cret" not in root.command and root.command.endswith("--password '***'")
    assert child.cpu_ratio is not None and root.cpu_ratio is not None
    assert child.cpu_ratio > 0.02 > root.cpu_ratio
    assert root.memory_bytes and root.state == "sleeping"
