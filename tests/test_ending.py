"""Ending trees of real OS processes: who is hit, in which order, and who never is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from headway.ending import work
from headway.ending.base import Outcome, Spared, Target
from headway.ending.family import Family, Look, has_ended
from headway.ending.picture import picture_of
from headway.ending.signals import parse_signal
from headway.ending.system import Facts, OSSystem
from headway.ending.trees import end_trees, look_at, pause_trees, resume_trees
from headway.errors import InvalidInput
from headway.model import OSProcess
from headway.sampler.base import host_here, identify
from headway.sampler.host import Row
from kernel import Kernel
from osprocesses import Started, runs, state, wait_gone, with_pid
from waiting import wait_until

ROOT = os.geteuid() == 0
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="real trees are read from /proc")


def end(*roots: OSProcess, signal: int = signal.SIGTERM, grace: float = 5.0, **more: Any) -> list[Outcome]:
    targets = [Target(str(number), root) for number, root in enumerate(roots)]
    more.setdefault("host", host_here())
    more.setdefault("system", OSSystem())
    return end_trees(targets, signal=signal, grace=grace, **more)


def pids(processes: Sequence[OSProcess]) -> set[int]:
    return {process.pid for process in processes}


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


# ── never the wrong one ─────────────────────────────────────────────────────────────────────────────────────────────


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


def changed(row: Row, **fields: Any) -> Row:
    return Row(**{name: getattr(row, name) for name in Row.__annotations__} | fields)


def target_of(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:  # that of the listing itself
        return ""


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
