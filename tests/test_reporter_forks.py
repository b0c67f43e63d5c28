"""Reporters over fork and multiprocessing: each OS process reports for itself, and ends its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from calling import Api
from recording_server import RecordingServer, recording_server
from reporting import run_script, script_environment
from running import Starter
from waiting import wait_until


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    with recording_server() as started:
        yield started


def test_a_forked_child_reports_for_itself(server: RecordingServer, tmp_path: Path) -> None:
    code = """
        import os, time
        from headway import Reporter
        r = Reporter("parent", id="parent", total=10)
        r.update(1, "parent before")
        pid = os.fork()
        if pid == 0:
            r.update(5, "child", metadata={"by": "child"})
            with Reporter("own", id="own", parent_id="parent") as own:
                own.log("own line")
            os._exit(0) if os.environ.get("HARD") else None
            raise SystemExit(0)
        os.waitpid(pid, 0)
        r.log("parent after")
        r.done()
    """
    done = run_script(code, server, tmp_path)
    assert done.stderr == ""
    state = server.state("parent")
    assert sorted(state["log"]) == ["child", "parent after", "parent before"]
    assert state["statuses"] == ["done"]
    assert state["metadata"] == {"by": "child"}
    assert server.final("own")["status"] == "done"
    assert server.creation("own")["pid"] != server.creation("parent")["pid"]


def test_what_a_forked_child_reports_is_part_of_what_forked_it(server: RecordingServer, tmp_path: Path) -> None:
    code = """
        import os
        from headway import Reporter
        def forked(work):
            pid = os.fork()
            if pid == 0:
                work()
                raise SystemExit(0)
            assert os.waitpid(pid, 0)[1] == 0
        def report(name, **given):
            Reporter(name, id=name, **given).done()
        def deeper():
            forked(lambda: report("grandchild"))
            os.environ["HEADWAY_PARENT_ID"] = "said"
            report("as-said")
        report("ended")
        Reporter("about another", id="other", pid=os.getppid())
        script = Reporter("script", id="script", pid=os.getpid())
        forked(lambda: (report("one"), report("two"), report("told", parent_id="else")))
        step = script.child("step", id="step")
        forked(lambda: report("below"))
        forked(deeper)
        script.child("second", id="second")
        forked(lambda: report("of-either"))
        Reporter("alone", id="alone")
        forked(lambda: report("of-nobody"))
    """
    done = run_script(code, server, tmp_path, HEADWAY_PARENT_ID="the-run")
    assert done.returncode == 0, done.stderr
    expected = {
        **{"script": "the-run", "step": "script", "second": "script", "alone": "the-run"},
        **{"one": "script", "two": "script", "told": "else", "below": "step", "grandchild": "step"},
        **{"as-said": "said", "of-either": "script", "of-nobody": "the-run"},
    }
    assert {name: server.creation(name).get("parent_id") for name in expected} == expected


def test_a_script_that_waits_for_its_worker_is_not_stuck(start_exporter: Starter, tmp_path: Path) -> None:
    code = """
        import os, sys, time
        from headway import Reporter
        with Reporter("script", id="script", total=2) as run:
            run.update(0, "forks")
            pid = os.fork()
            if pid == 0:
                with Reporter("worker", id="worker", total=10_000) as worker:
                    for n in range(10_000):
                        worker.update(n)
                        time.sleep(0.05)
                        while os.path.exists(sys.argv[1]):
                            time.sleep(0.05)
            os.waitpid(pid, 0)
    """
    exporter = start_exporter("--sample-interval", "0.2", "--stuck-after", "3s")
    api, stop = Api(exporter, exporter.key), tmp_path / "stop"
    words = [sys.executable, "-c", textwrap.dedent(code), str(stop)]
    script = subprocess.Popen(words, env=exporter.client_env, start_new_session=True)

    def stuck() -> list[str]:
        return [one for one in ("script", "worker") if "stuck" in {found["name"] for found in api.get(one)["conditions"]}]

    try:
        wait_until(lambda: {"script", "worker"} <= set(api.list()), 30, "both")
        wait_until(lambda: api.get("worker")["elapsed_seconds"] > 5, 60, "some work")
        assert stuck() == [] and api.get("worker")["parent_id"] == "script"
        stop.touch()
        wait_until(lambda: stuck() == ["script", "worker"], 30, "both to be stuck")
    finally:
        os.killpg(script.pid, signal.SIGKILL)
        script.wait(30)


def test_whatever_a_forked_child_says_first_is_sent(server: RecordingServer, tmp_path: Path) -> None:
    code = """
        import os
        from headway import Reporter
        class Own(Reporter):
            pass
        made = [kind(f"{kind.__name__} {n}", id=f"{kind.__name__}-{n}", current=0) for kind in (Reporter, Own) for n in range(3)]
        cached = made[0].update
        pid = os.fork()
        if pid == 0:
            for n, one in enumerate(made):
                cached(5) if n == 0 else one.update(5) if n % 3 == 0 else one.advance(5) if n % 3 == 1 else one.update(line="child")
            raise SystemExit(0)
        os.waitpid(pid, 0)
        for one in made:
            one.done()
    """
    assert run_script(code, server, tmp_path).stderr == ""
    for kind in ("Reporter", "Own"):
        said = [server.state(f"{kind}-{n}") for n in range(3)]
        assert [one["progress"].get("current") for one in said[:2]] == [5, 5] and said[2]["log"] == ["child"], kind


def test_a_child_that_leaves_the_block_does_not_end_the_parent(server: RecordingServer, tmp_path: Path) -> None:
    code = """
        import os, sys, time
        from headway import Reporter
        with Reporter("parent", id="parent") as r:
            pid = os.fork()
            if pid == 0:
                sys.exit(3)
            os.waitpid(pid, 0)
            r.log("goes on")
    """
    run_script(code, server, tmp_path)
    assert server.state("parent")["statuses"] == ["done"]
    assert server.state("parent")["log"] == ["goes on"]


def test_forks_at_any_moment_never_hang(server: RecordingServer, tmp_path: Path) -> None:
    """Forks while the thread starts, imports and sends; each child imports what the thread imports, and reports."""
    code = """
        import os, time
        from headway import Reporter
        r = Reporter("parent", id="parent")
        pids = []
        for i in range(40):
            r.update(i, f"parent {i}")
            pid = os.fork()
            if pid == 0:
                import requests, ssl, logging, json
                with Reporter(f"child {i}", id=f"child-{i}"):
                    r.log(f"child {i}")
                raise SystemExit(0)
            pids.append(pid)
            time.sleep(0.005 * (i % 4))
        for pid in pids:
            assert os.waitpid(pid, 0)[1] == 0
        r.done()
    """
    done = run_script(code, server, tmp_path, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    log = server.state("parent")["log"]
    assert sorted(log) == sorted(f"{who} {i}" for i in range(40) for who in ("parent", "child"))
    for i in range(40):
        assert server.final(f"child-{i}")["status"] == "done"


def test_a_fork_while_the_thread_takes_a_connection_never_hangs(server: RecordingServer, tmp_path: Path) -> None:
    code = """
        import os, sys, threading, time
        from headway.reporter.link import Link

        link = Link(os.environ["HEADWAY_URL"], None)
        list(link.deliver([b'{"id": "x", "create": {"name": "x", "type": "task"}}']))
        idle = link._session.get_adapter(link.via).poolmanager.connection_from_url(link.via).pool
        held, over = threading.Event(), threading.Event()

        def hold():
            with idle.mutex:
                held.set()
                over.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        pid = os.fork()
        if pid == 0:
            sys.exit(0)
        over.set()
        thread.join()
        deadline = time.monotonic() + 20
        while not (found := os.waitpid(pid, os.WNOHANG))[0]:
            if time.monotonic() > deadline:
                os.kill(pid, 9)
                sys.exit("the child does not end")
            time.sleep(0.01)
        assert found[1] == 0
    """
    done = run_script(code, server, tmp_path, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_exception_of_a_worker_is_known_after_it_was_handled(server: RecordingServer, tmp_path: Path) -> None:
    """As from Python 3.13 on, where what runs at the end of a worker runs once its exception was printed."""
    code = """
        import multiprocessing
        from multiprocessing import process, util
        from headway import Reporter

        bootstrap = process.BaseProcess._bootstrap

        def handled(self, *args, **more):
            at_end, util._exit_function = util._exit_function, lambda: None
            try:
                return bootstrap(self, *args, **more)
            finally:
                at_end()

        def bad():
            Reporter("bad", id="bad")
            raise ValueError("in a worker")

        process.BaseProcess._bootstrap = handled
        worker = multiprocessing.get_context("fork").Process(target=bad)
        worker.start()
        worker.join()
    """
    done = run_script(code, server, tmp_path, timeout=60)
    assert done.returncode == 0 and "ValueError: in a worker" in done.stderr
    assert server.final("bad")["status"] == "failed" and server.final("bad")["error"] == "ValueError: in a worker"


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(server: RecordingServer, tmp_path: Path, method: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        """
import multiprocessing, os, sys
from headway import Reporter

def good(r, i):
    r.log(f"worker {i}")
    with r.child("kid", id=f"kid-{i}") as kid:
        kid.update(i)

def untold(i):
    Reporter("untold", id=f"untold-{i}").update(1)

def bad():
    Reporter("bad", id="bad")
    raise ValueError("in a worker")

def exits():
    Reporter("exits", id="exits")
    sys.exit(3)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with Reporter("parent", id="parent") as r:
        workers = [context.Process(target=good, args=(r, i)) for i in range(3)]
        workers += [context.Process(target=untold, args=(1,)), context.Process(target=bad), context.Process(target=exits)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
"""
    )
    environ = script_environment(server.url, tmp_path / "spool")
    done = subprocess.run(
        [sys.executable, str(script), method], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(server.state("parent")["log"]) == [f"worker {i}" for i in range(3)]
    assert server.state("parent")["statuses"] == ["done"]
    for i in range(3):
        assert server.final(f"kid-{i}")["status"] == "done"
        assert server.creation(f"kid-{i}")["parent_id"] == "parent"
    assert server.final("untold-1")["status"] == "done"
    assert server.final("bad")["error"] == "ValueError: in a worker"
    assert server.final("exits")["exit_code"] == 3
    assert server.creation("parent")["pid"] not in {server.creation(f"kid-{i}")["pid"] for i in range(3)}


def test_a_pool(server: RecordingServer, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        """
import concurrent.futures
from headway import Reporter

def work(i):
    with Reporter("item", id=f"item-{i}"):
        return i

if __name__ == "__main__":
    with concurrent.futures.ProcessPoolExecutor(3) as pool:
        assert sum(pool.map(work, range(20))) == 190
"""
    )
    environ = script_environment(server.url, tmp_path / "spool")
    done = subprocess.run([sys.executable, str(script)], env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for i in range(20):
        assert server.final(f"item-{i}")["status"] == "done"


def test_a_reporter_in_another_process_creates_what_the_exporter_does_not_know(server: RecordingServer, tmp_path: Path) -> None:
    """The creation names the process that is the work, not the one that happens to speak first."""
    code = """
        import os, pickle, subprocess, sys
        from headway import Reporter
        os.environ["HEADWAY_URL"] = sys.argv[1] if len(sys.argv) > 1 else os.environ["HEADWAY_URL"]
        r = Reporter("x", id="x", project="p")
        copy = pickle.dumps(r)
        r._url = "off"
        child = "import pickle, sys; r = pickle.load(sys.stdin.buffer); r.update(4, 'from the child')"
        subprocess.run([sys.executable, "-c", child], input=copy, check=True)
        print(os.getpid(), flush=True)
        os._exit(0)
    """
    done = run_script(code, server, tmp_path)
    creation = server.creation("x")
    assert creation["pid"] == int(done.stdout)
    assert creation["project"] == "p"
    assert server.state("x")["progress"] == {"current": 4}
    assert server.state("x")["statuses"] == []
