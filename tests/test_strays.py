"""OS processes that left the tree of their run: found by the mark, counted, shown and ended with it; never others."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from headway.ending.base import Outcome, Spared, Target
from headway.ending.picture import picture_of
from headway.ending.system import OSSystem
from headway.ending.trees import end_trees, look_at, pause_trees, resume_trees
from headway.model import OSProcess
from headway.sampler.base import host_here, identify
from headway.sampler.details import LinuxDetails
from headway.sampler.host import Row
from headway.sampler.strays import ALL_LOOKS, MARK, SETTLED, Marks, Run
from headway.sampler.tree_sampler import TreeSampler
from osprocesses import DAEMON, PRELUDE, Script, Started, runs, state, wait_gone
from waiting import wait_until

ROOT = os.geteuid() == 0
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="real trees are read from /proc")


def of(script: Script, run_id: str = "r") -> Run:
    return Run(run_id, script.process)


def target(*those: Run) -> Target:
    return Target(those[0].id, those[0].root, those)


def end(*targets: Target, spared: Sequence[Spared] = (), system: OSSystem | None = None) -> list[Outcome]:
    system = system or OSSystem()
    return end_trees(targets, signal=signal.SIGTERM, grace=5, host=host_here(), system=system, spared=spared)


def pids(processes: Sequence[OSProcess]) -> set[int]:
    return {process.pid for process in processes}


def marked(run_id: str) -> dict[str, str]:
    return {MARK: run_id}


# ── found ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_daemon_is_counted_shown_and_ended(start: Started) -> None:
    script = start(DAEMON + "say(daemon()); rest()", environ=marked("r"))
    (daemon,) = script.pids()
    run = of(script)
    assert TreeSampler(marks=Marks()).sample({"r": run.root})["r"].os_processes == 2
    assert TreeSampler().sample({"r": run.root})["r"].os_processes == 1, "who does not look at marks does not know"
    (outcome,) = look_at([target(run)], host_here(), OSSystem())
    assert (pids(outcome.members), pids(outcome.strays)) == ({script.pid, daemon}, {daemon})
    root, stray = picture_of(target(run), host_here(), OSSystem())
    assert (root.process.pid, root.stray, stray.process.pid, stray.parent, stray.stray) == (script.pid, False, daemon, None, True)
    (outcome,) = end(Target("r", run.root))
    assert runs(daemon), "nothing was known of a run"
    (outcome,) = end(target(run))
    assert daemon in pids(outcome.ended) and outcome.root_ended and not outcome.gone
    wait_gone(daemon, script.pid)


def test_whoever_a_stray_forks_is_below_it(start: Started) -> None:
    script = start(DAEMON + "say(daemon(lambda: (fork(rest), rest()))); rest()", environ=marked("r"))
    (daemon,) = script.pids()
    wait_until(lambda: len(look_at([target(of(script))], host_here(), OSSystem())[0].members) == 3, what="its child")
    nodes = picture_of(target(of(script)), host_here(), OSSystem())
    assert [(node.parent, node.stray) for node in nodes] == [(None, False), (None, True), (daemon, False)]
    (outcome,) = end(target(of(script)))
    assert len(outcome.ended) == 3 and not start.left()


def test_strays_of_a_root_that_is_gone_are_ended(start: Started) -> None:
    script = start(DAEMON + "say(daemon())", environ=marked("r"))
    (daemon,), run = script.pids(), of(script)
    script.child.wait(30)
    (node,) = picture_of(target(run), host_here(), OSSystem())
    assert (node.process.pid, node.parent, node.stray) == (daemon, None, True)
    (looked,) = look_at([target(run)], host_here(), OSSystem())
    assert looked.root_ended and looked.lives and not looked.gone
    (outcome,) = end(target(run))
    assert (outcome.root_ended, outcome.gone, outcome.lives, outcome.signal) == (True, False, False, signal.SIGTERM)
    assert pids(outcome.ended) == {daemon} and not runs(daemon)
    (outcome,) = end(target(run))
    assert outcome.gone and not outcome.lives


def test_strays_are_stopped_and_go_on(start: Started) -> None:
    script = start(DAEMON + "say(daemon()); rest()", environ=marked("r"))
    (daemon,), whole = script.pids(), target(of(script))
    (outcome,) = pause_trees([whole], host_here(), OSSystem())
    assert not outcome.survivors and (state(script.pid), state(daemon)) == ("T", "T")
    resume_trees([whole], host_here(), OSSystem())
    assert "T" not in (state(script.pid), state(daemon))


def test_what_a_stray_used_never_falls(start: Started) -> None:
    burn = "def burn():\n    until = time.process_time() + 0.3\n    while time.process_time() < until: pass\n    rest()\n"
    script = start(DAEMON + burn + "say(daemon(burn)); rest()", environ=marked("r"))
    (daemon,), roots, sampler = script.pids(), {"r": script.process}, TreeSampler(marks=Marks())

    def used() -> float:
        found = sampler.sample(roots)["r"].cpu_seconds
        assert found is not None
        return found

    wait_until(lambda: used() >= 0.25, what="its work")
    before = used()
    os.kill(daemon, signal.SIGKILL)
    wait_gone(daemon)
    wait_until(lambda: sampler.sample(roots)["r"].os_processes == 1, what="its end, seen")
    assert used() >= before


# ── whose it is ─────────────────────────────────────────────────────────────────────────────────────────────────────

INNER = """
import subprocess
def inner(source, mark):
    return subprocess.Popen([sys.executable, "-c", sys.argv[1] + source], env={**os.environ, "HEADWAY_PARENT_ID": mark})
"""


def nested(start: Started) -> tuple[Script, Run, Run, int]:
    """A run within a run, and the daemon of the inner one."""
    source = INNER + "child = inner('say(os.getpid(), daemon()); rest()', 'i'); rest()"
    script = start(source, PRELUDE + DAEMON, environ=marked("o"))
    pid, daemon = script.pids()
    root = identify(pid)
    assert root is not None
    return script, of(script, "o"), Run("i", root), daemon


def test_the_innermost_mark_counts(start: Started) -> None:
    script, outer, inner, daemon = nested(start)
    samples = TreeSampler(marks=Marks()).sample({"o": outer.root, "i": inner.root})
    assert (samples["o"].os_processes, samples["i"].os_processes) == (2, 2)
    (alone,) = look_at([target(outer)], host_here(), OSSystem())
    assert pids(alone.members) == {script.pid, inner.root.pid}
    (both,) = look_at([target(outer, inner)], host_here(), OSSystem())
    assert pids(both.members) == {script.pid, inner.root.pid, daemon} and pids(both.strays) == {daemon}


def test_who_left_a_spared_run_is_spared(start: Started) -> None:
    _, outer, inner, daemon = nested(start)
    (outcome,) = end(target(outer, inner), spared=[Spared(inner.root, "it is an executor", inner)])
    assert pids(outcome.ended) == {outer.root.pid}
    assert runs(inner.root.pid) and runs(daemon)


def test_an_inner_run_that_is_somewhere_else_goes_on(start: Started) -> None:
    """Reported below it, but not started by it. Once its root is gone, its strays end with the outer one."""
    script = start("say('ready'); rest()", ready=True, environ=marked("o"))
    other = start(DAEMON + "say(daemon()); rest()", environ=marked("i"))
    (daemon,), whole = other.pids(), target(of(script, "o"), of(other, "i"))
    end(whole)
    assert not runs(script.pid) and runs(other.pid) and runs(daemon)
    other.child.kill()
    other.child.wait(30)
    (outcome,) = end(whole)
    assert daemon in pids(outcome.ended) and not runs(daemon)


def test_who_adopts_the_stray_of_a_spared_run_does_not_take_it_along(start: Started) -> None:
    """A supervisor that adopts orphans stands above someone else's by now; the mark says whose it is."""
    adopts = "import ctypes; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n"
    source = INNER + adopts + "inner('say(os.getpid(), daemon()); rest()', 'i'); rest()"
    script = start(source, PRELUDE + DAEMON, environ=marked("o"))
    pid, daemon = script.pids()
    root = identify(pid)
    assert root is not None
    assert f"PPid:\t{script.pid}\n" in Path(f"/proc/{daemon}/status").read_text()
    spared = Spared(root, "it is a process of another user", Run("i", root))
    (outcome,) = end(target(of(script, "o")), spared=[spared])
    assert pids(outcome.ended) == {script.pid} and runs(pid) and runs(daemon)
    assert {(left.process.pid, left.reason) for left in outcome.spared} >= {(daemon, spared.reason)}


def test_tracked_work_below_a_spared_executor_is_ended_all_the_same(start: Started) -> None:
    """It did not come by a mark of its own: all of it has that of the executor."""
    script = start(DAEMON + "fork(lambda: (say(os.getpid(), fork(rest), daemon()), rest())); rest()", environ=marked("e"))
    work, child, daemon = script.pids()
    root, marks = identify(work), Marks()
    assert root is not None
    executor = Spared(script.process, "it is an executor", of(script, "e"))
    (outcome,) = end(target(Run("w", root)), spared=[executor], system=OSSystem(marks=marks))
    assert pids(outcome.ended) == {work, child} and runs(script.pid)
    assert runs(daemon), "the mark says no more than that the executor runs it"


def test_tracked_work_that_left_an_executor_is_ended_with_all_that_is_below_it(start: Started) -> None:
    script = start(DAEMON + "say(daemon(lambda: (fork(rest), rest())), daemon()); rest()", environ=marked("e"))
    work, other = script.pids()
    root = identify(work)
    assert root is not None
    wait_until(lambda: len(look_at([target(of(script, "e"))], host_here(), OSSystem())[0].members) == 4, what="its child")
    (outcome,) = end(target(Run("w", root)), spared=[Spared(script.process, "it is an executor", of(script, "e"))])
    assert len(outcome.ended) == 2 and not runs(work) and not outcome.spared
    assert runs(other) and runs(script.pid)


# ── never the wrong one ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not ROOT, reason="only root can start a process of somebody else")
def test_a_mark_on_a_process_of_another_user_proves_nothing(start: Started) -> None:
    script = start(DAEMON + "say(daemon(lambda: (os.setuid(65534), rest()))); rest()", environ=marked("r"))
    (daemon,), details = script.pids(), LinuxDetails()
    wait_until(lambda: details.uid(daemon) == 65534, what="its change of user")
    assert details.variable(daemon, MARK) == "r"
    (outcome,) = end(target(of(script)))
    assert pids(outcome.ended) == {script.pid} and runs(daemon)


@pytest.mark.skipif(not ROOT, reason="only root can start a process of somebody else")
def test_who_was_seen_in_the_tree_stays_whoever_it_becomes(start: Started, tmp_path: Path) -> None:
    """It was a child when the sampler looked; then it left, as another user."""
    leave = tmp_path / "leave"
    wait = f"while not os.path.exists({str(leave)!r}): time.sleep(0.01)\n"
    source = f"""
def late():
    {wait}    os.setsid()
    os.setuid(65534)
    os.write(here, b"left")
    rest()
there, here = os.pipe()
def first():
    say(os.getpid(), fork(late))
    {wait}
fork(first)
os.read(there, 4)
os.wait()
say("left")
rest()
"""
    script = start(source, environ=marked("r"))
    (_, child), marks = script.pids(), Marks()
    sampler = TreeSampler(marks=marks)
    assert sampler.sample({"r": script.process})["r"].os_processes == 3
    leave.touch()
    assert script.said() == "left"
    (outcome,) = end(target(of(script)), system=OSSystem(marks=marks))
    assert pids(outcome.ended) == {script.pid, child} and not runs(child)


def test_a_mark_older_than_the_run_is_of_someone_else(start: Started) -> None:
    before = start("say('ready'); rest()", ready=True, environ=marked("r"))
    script = start("say('ready'); rest()", ready=True, environ=marked("r"))
    wait_until(lambda: before.process.create_time != script.process.create_time, what="nothing: they differ")
    (outcome,) = end(target(of(script)))
    assert pids(outcome.ended) == {script.pid} and runs(before.pid)


def test_a_mark_set_by_hand_needs_the_folder_too(start: Started, tmp_path: Path) -> None:
    """The root does not carry it, so what does need not come from there."""
    script = start("say('ready'); rest()", ready=True)
    here = start("say('ready'); rest()", ready=True, environ=marked("r"))
    away = start(f"os.chdir({str(tmp_path)!r}); say('ready'); rest()", ready=True, environ=marked("r"))
    (outcome,) = end(target(of(script)))
    assert pids(outcome.ended) == {script.pid, here.pid} and runs(away.pid)


class Told:
    """Processes as a test wants them: (mark, uid, folder) by pid."""

    def __init__(self, told: dict[int, tuple[str | None, int, str]]) -> None:
        self.told = told
        self.reads = 0

    def variable(self, pid: int, name: str) -> str | None:
        self.reads += 1
        return self.told[pid][0] if pid in self.told else None

    def uid(self, pid: int) -> int | None:
        return self.told[pid][1] if pid in self.told else None

    def cwd(self, pid: int) -> str | None:
        return self.told[pid][2] if pid in self.told else None

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"nobody needs {name}")


def table(*processes: tuple[int, int, float]) -> dict[int, Row]:
    """Of (pid, parent, started)."""
    return {pid: Row(pid, parent, None, started, 1000 + started, False, 0, 0, 0, 0, 1, 1) for pid, parent, started in processes}


OWN = os.getpid()
RUN = Run("r", OSProcess(10, 1010.0))


def found(marks: Marks, rows: Mapping[int, Row], run: Run = RUN, again: bool = False) -> set[int]:
    return {row.pid for row in marks.strays(run, rows, {(10, 10.0)}, again)}


def seen(told: Told, rows: Mapping[int, Row]) -> Marks:
    marks = Marks(told, lambda: 0.0)
    marks.see(rows)
    return marks


def test_never_the_exporter_nor_who_runs_it_nor_who_runs_the_root() -> None:
    rows = table((1, 0, 0.0), (5, 1, 10.0), (10, 5, 10.0), (8, 1, 11.0), (OWN, 8, 12.0), (20, 1, 13.0))
    told = Told(dict.fromkeys(rows, ("r", 0, "/")))
    assert found(seen(told, rows), rows) == {20}


def test_an_environment_is_read_once_and_once_more_when_it_has_settled() -> None:
    rows, now = table((10, 1, 10.0), (20, 1, 13.0)), [0.0]
    told = Told({10: ("outer", 0, "/"), 20: ("outer", 0, "/")})
    marks = Marks(told, lambda: now[0])
    for _ in range(5):
        marks.see(rows)
    assert told.reads == 2
    marks.meet("r", rows[10])
    told.told = {10: ("r", 0, "/a"), 20: ("r", 0, "/b")}  # now the exec has happened
    assert found(marks, rows) == set()
    now[0] = SETTLED
    for _ in range(5):
        marks.see(rows)
    assert told.reads == 4 and found(marks, rows) == {20}
    del rows[10]
    told.told[20] = ("r", 7, "/b")
    assert found(marks, rows) == {20}, "it was known"


def test_at_the_moment_of_an_action_the_environment_is_read_once_more() -> None:
    rows = table((10, 1, 10.0), (20, 1, 13.0))
    told = Told({10: ("r", 0, "/"), 20: ("r", 0, "/")})
    marks = seen(told, rows)
    told.told[20] = ("i", 0, "/")
    assert found(marks, rows, again=True) == set() and found(marks, rows, Run("i", OSProcess(9, 1009.0), "root")) == {20}


def test_a_wiped_environment_takes_no_mark_away() -> None:
    rows = table((10, 1, 10.0), (20, 1, 13.0))
    told = Told({10: ("r", 0, "/"), 20: ("r", 0, "/")})
    marks = seen(told, rows)
    told.told[20] = (None, 0, "/")
    assert found(marks, rows, again=True) == {20}


def test_who_was_seen_needs_no_mark_but_must_not_have_another() -> None:
    rows = table((10, 1, 10.0), (20, 1, 13.0), (21, 1, 13.0))
    marks = seen(Told({10: ("r", 0, "/"), 20: (None, 5, "/"), 21: ("i", 0, "/")}), rows)
    assert found(marks, rows) == set()
    marks.remember("r", [rows[20], rows[21]])
    assert found(marks, rows) == {20}


def test_another_process_of_the_pid_is_someone_else() -> None:
    rows = table((10, 1, 10.0), (20, 1, 13.0))
    told = Told({10: ("r", 0, "/"), 20: ("r", 0, "/")})
    marks = seen(told, rows)
    assert found(marks, rows) == {20}
    later = table((10, 1, 10.0), (20, 1, 99.0))
    assert found(marks, later) == set(), "nobody has looked at it yet"
    told.told[20] = (None, 0, "/")
    for _ in range(ALL_LOOKS):
        marks.see(later)
    assert found(marks, later) == set() and marks._known[20].started == 99.0


def test_whose_a_run_was_is_remembered_or_is_in_its_record() -> None:
    rows = table((10, 1, 10.0), (20, 1, 13.0))
    told = Told({10: ("r", 4242, "/"), 20: ("r", 4242, "/")})
    marks = seen(told, rows)
    marks.meet("r", rows[10])
    del rows[10]
    assert found(marks, rows) == {20}
    afresh = seen(told, rows)
    assert found(afresh, rows) == set(), "it may be anybody's"
    told.told[20] = ("r", 0, "/")
    assert found(afresh, rows, Run("r", RUN.root, "root")) == {20}
    assert found(afresh, rows, Run("r", RUN.root, "nobody")) == {20}, "it was known"
    assert found(seen(told, rows), rows, Run("r", RUN.root, "nobody")) == set()


def test_what_is_gone_is_forgotten() -> None:
    told = Told(dict.fromkeys(range(2, 2000), ("r", 0, "/")))
    rows = table(*((pid, 1, 20.0) for pid in range(100, 1000)))
    marks = seen(told, rows)
    marks.remember("r", rows.values())
    few = table((10, 1, 10.0), (100, 1, 20.0))
    marks.see(few)
    assert marks._known.keys() == {10, 100} and marks._carriers == {"r": {10, 100}} and marks._seen == {"r": {100: 20.0}}
