"""One look at real OS processes through rules: who is found and why, who never is, and what is asked of whom how often."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from headway.control.report import same
from headway.discovery.finder import ABOVE, ELSEWHERE, OURS, OWN, Finder, Findings, Match
from headway.discovery.judging import ASKED_AGAIN, YOUNG, is_below, lives_here, user_name
from headway.discovery.pidfile import read_pid_files
from headway.discovery.rule import Rule
from headway.sampler.base import own_pid_namespace
from kernel import Kernel
from osprocesses import Started, wait_gone, with_pid

LISTEN = """
import socket
listener = socket.create_server(("127.0.0.1", 0))
say(listener.getsockname()[1])
"""
REST = "say('ready'); rest()"


def look(*rules: Rule, **more: Any) -> Findings:
    return Finder(rules, **{"own_pid": 1, **more}).look()


def only(found: Findings) -> Match:
    (match,) = found.matches
    return match


def reason(found: Findings, rule: str = "r") -> str:
    assert found.matches == []
    return found.unmatched[rule]


def write(path: Path, text: object, age: float = 0.0) -> Path:
    path.write_text(f"{text}\n")
    os.utime(path, (time.time() - age,) * 2)
    return path


# ── each way to find one ────────────────────────────────────────────────────────────────────────────────────────────


def test_by_port(start: Started) -> None:
    script = start(LISTEN + "rest()")
    port = int(script.said())
    found = look(Rule(name="r", ports=(1, port), title="Listener on {port}"), Rule(name="none", ports=(port + 1,)))
    match = only(found)
    assert same(match.process, script.process) and match.process.pid_namespace == own_pid_namespace()
    assert (match.name, match.why) == (f"Listener on {port}", (f"it listens on port {port}",))
    assert found.unmatched == {"none": f"nobody listens on port {port + 1}"}
    assert found.os_processes > 2 and found.seconds > 0


def test_of_a_port_that_forked_children_share_the_first_is_meant(start: Started) -> None:
    script = start(LISTEN + "fork(rest); fork(rest); say('ready'); rest()")
    port = int(script.said())
    assert script.said() == "ready"
    assert same(only(look(Rule(name="r", ports=(port,)))).process, script.process)
    all_three = look(Rule(name="r", ports=(port,), children=True)).matches
    assert len(all_three) == 3
    assert sorted(any(same(script.process, one) for one in match.above) for match in all_three) == [False, True, True]


def test_by_command(start: Started) -> None:
    script = start(REST, "--serve", "Blue Shop", "--password=hunter22", ready=True)
    match = only(look(Rule(name="r", command=r"--serve (\w+ \w+) --password=(\S+)$", title="{1} ({2})")))
    assert same(match.process, script.process)
    assert match.name == "Blue Shop (***)"
    assert "hunter22" not in match.command and match.command.startswith(sys.executable)
    assert "does not match" not in reason(look(Rule(name="r", command="--serve Blue$"))), "not what is wrong with each of hundreds"


def test_by_folder(start: Started, tmp_path: Path) -> None:
    (tmp_path / "app" / "deep").mkdir(parents=True)
    (tmp_path / "application").mkdir()
    (tmp_path / "current").symlink_to("app")
    for folder in ("app/deep", "application"):
        start(f"os.chdir({str(tmp_path / folder)!r}); {REST}", ready=True)
    match = only(look(Rule(name="r", cwd=f"{tmp_path}/current", title="App {cwd}")))
    assert (match.cwd, match.name) == (os.path.realpath(tmp_path / "app/deep"), "App deep")
    assert match.why == (f"its working directory is {match.cwd}",)
    assert is_below("/", "/") and is_below("/a", "/") and not is_below("/ab", "/a")


def test_by_environment(start: Started) -> None:
    script = start(REST, ready=True)
    value = start.mark.partition("=")[2]
    match = only(look(Rule(name="r", env=(("TREE_OF_A_TEST", value), ("PATH", None)))))
    assert same(match.process, script.process)
    assert match.why == ("its environment has TREE_OF_A_TEST as the rule says", "its environment has PATH")
    assert value not in str(match.why)
    reason(look(Rule(name="r", env=(("TREE_OF_A_TEST", value[:-1]),))))
    reason(look(Rule(name="r", env=(("TREE_OF_A_TEST", value), ("NOT_THERE_AT_ALL", None)))))


def test_by_user(start: Started) -> None:
    script = start(REST, "--of-this-user", ready=True)
    me = user_name(os.getuid())
    for run_by in ((me,), ("somebody-else", str(os.getuid()))):
        match = only(look(Rule(name="r", command="--of-this-user$", run_by=run_by)))
        assert same(match.process, script.process) and match.why[1] == f"it runs as {me}"
    pids = {match.process.pid for match in look(Rule(name="r", run_by=(me,), children=True)).matches}
    assert script.pid in pids
    reason(look(Rule(name="r", command="--of-this-user$", run_by=("somebody-else",))))


def test_by_pid_file(start: Started, tmp_path: Path) -> None:
    scripts = [start(REST, ready=True) for _ in range(2)]
    for number, script in enumerate(scripts):
        write(tmp_path / f"worker-{number}.pid", f"{script.pid}\n/var/lib/data\n5432")
    found = look(Rule(name="r", pid_file=f"{tmp_path}/worker-*.pid", title="{pid_file}"))
    assert {match.process.pid: match.name for match in found.matches} == {
        scripts[0].pid: "worker-0",
        scripts[1].pid: "worker-1",
    }
    assert found.matches[0].why[0].startswith("its pid is in ")


def test_all_that_a_rule_says_must_hold(start: Started, tmp_path: Path) -> None:
    script = start(LISTEN + REST, "--right")
    port = int(script.said())
    file = str(write(tmp_path / "a.pid", script.pid))
    given: dict[str, Any] = {"pid_file": file, "ports": (port,), "command": "--right", "env": (("PATH", None),)}
    match = only(look(Rule(name="r", cwd=str(Path.cwd()), **given)))
    assert len(match.why) == 5
    assert only(look(Rule(name="r", run_by=("0", str(os.getuid())), **given)))
    for wrong, said in (
        ({"ports": (port + 1,)}, f"pid {script.pid} does not listen on port {port + 1}"),
        ({"command": "--wrong"}, f"pid {script.pid}: its command line does not match --wrong"),
        ({"cwd": str(tmp_path)}, f"pid {script.pid}: its working directory is not within {tmp_path}"),
        (
            {"run_by": ("nobody-of-this-name",)},
            f"pid {script.pid}: it runs as {user_name(os.getuid())}, not as nobody-of-this-name",
        ),
        ({"env": (("PATH", "x"),)}, f"pid {script.pid}: its environment has another PATH"),
        ({"env": (("NOT_THERE_AT_ALL", None),)}, f"pid {script.pid}: its environment has no NOT_THERE_AT_ALL"),
    ):
        found = look(Rule(name="r", **{**given, **wrong}))
        assert said in reason(found)
        assert [(one.path, one.pid) for one in found.stale] == [(file, script.pid)], "the file does not name whom the rule means"


# ── stale pid files ─────────────────────────────────────────────────────────────────────────────────────────────────


def stale(path: Path | str) -> str:
    found = look(Rule(name="r", pid_file=str(path)))
    (one,) = found.stale
    assert reason(found) == one.reason
    return one.reason


def test_whose_owner_is_gone(start: Started, tmp_path: Path) -> None:
    script = start(REST, ready=True)
    file = write(tmp_path / "a.pid", script.pid)
    script.child.kill()
    wait_gone(script.pid)
    assert stale(file) == f"pid {script.pid} has ended, and its parent has not waited for it"
    script.child.wait()
    assert stale(file) == f"there is no OS process {script.pid}: it ended and left the file behind"


def test_whose_pid_was_given_to_another(start: Started, tmp_path: Path) -> None:
    first = start(REST, ready=True)
    file = write(tmp_path / "a.pid", first.pid, age=60)
    first.child.kill()
    first.child.wait()
    second = with_pid(first.pid, start)
    if second is None:
        second = start(REST, ready=True)  # who may not choose pids: the file names a stranger all the same
        file = write(file, second.pid, age=60)
    said = stale(file)
    assert said.startswith(f"pid {second.pid} began ") and said.endswith("after the file was written: it is somebody else by now")
    write(file, second.pid)
    assert same(only(look(Rule(name="r", pid_file=str(file)))).process, second.process)


def test_files_that_name_nobody(tmp_path: Path) -> None:
    assert reason(look(Rule(name="r", pid_file=str(tmp_path / "none.pid")))) == f"there is no file {tmp_path / 'none.pid'}"
    for text in ("", "many words", "-5", "0", "99999999999", "12x"):
        assert stale(write(tmp_path / "a.pid", text)) == f"{tmp_path / 'a.pid'} holds no pid"
    os.mkfifo(tmp_path / "pipe.pid")
    assert stale(tmp_path / "pipe.pid") == f"{tmp_path / 'pipe.pid'} is no file"
    (tmp_path / "bytes.pid").write_bytes(b"\xff\0\xfe")
    assert len(list(read_pid_files(f"{tmp_path}/*.pid"))) == 3


# ── who never is found ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_exporter_and_those_above_it(start: Started) -> None:
    script = start("pid = fork(rest); say(pid); rest()", "a-mark-of-this-test")
    (child,) = script.pids()
    rule = Rule(name="r", command="a-mark-of-this-test", children=True)
    barred = {match.process.pid: match.barred for match in look(rule, own_pid=child).matches}
    assert barred == {script.pid: ABOVE, child: OWN}
    covered = {match.process.pid: match.covered for match in look(rule, own_pid=script.pid).matches}
    assert covered == {script.pid: None, child: "the exporter started it"}


def test_commands_of_headway(tmp_path: Path) -> None:
    script = tmp_path / "work.py"
    script.write_text("import sys; print('ready', flush=True); sys.stdin.read()")
    command = [sys.executable, "-m", "headway", "run", "--no-log-file", "--", sys.executable, str(script)]
    environ = {**os.environ, "HEADWAY_URL": "off"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as run:
        assert run.stdout is not None and run.stdout.readline() == "ready\n"
        found = look(Rule(name="r", command=str(script), children=True)).matches
        assert {match.process.pid: match.barred for match in found}[run.pid] == OURS
        (work,) = [match for match in found if match.process.pid != run.pid]
        assert (work.barred, work.covered) == (None, "headway run started it, and reports it")
        assert work.reported_as is not None


def test_threads_of_the_kernel() -> None:
    """Their folder is / and they have no environment; the rules that anybody matches do not match them."""
    for match in look(Rule(name="r", cwd="/", children=True), Rule(name="c", command="", children=True)).matches:
        assert match.command


def test_those_of_a_container(tmp_path: Path) -> None:
    inner = f"import time; print('ready', flush=True); time.sleep(60)  # {tmp_path}"
    command = ["unshare", "--fork", "--pid", "--kill-child", sys.executable, "-c", inner]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as container:
        assert container.stdout is not None
        if container.stdout.readline() != "ready\n":
            pytest.skip("this system gives us no pid namespace of our own")
        found = look(Rule(name="r", command=str(tmp_path), children=True)).matches
        container.kill()
        assert {match.process.pid == container.pid: match.barred for match in found} == {True: None, False: ELSEWHERE}
    assert lives_here(os.getpid()) and lives_here(2**22 + 1)


POWERLESS = """
import os, sys
from headway.control.report import same
from headway.discovery.finder import Finder
from headway.discovery.rule import Rule
os.setgroups([]); os.setgid(65534); os.setuid(65534)
pid, port, folder, mark = sys.argv[1:]
rules = [
    Rule(name="folder", cwd=folder, command=mark),
    Rule(name="environment", env=(("PATH", None),), command=mark),
    Rule(name="port", ports=(int(port),)),
    Rule(name="command", command=mark),
]
found = Finder(rules, own_pid=1).look()
print(*(match.rule.name for match in found.matches if match.process.pid == int(pid)))
for rule in rules:
    print(found.unmatched.get(rule.name))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_those_of_another_user_whose_details_may_not_be_read(start: Started, tmp_path: Path) -> None:
    script = start(LISTEN + "rest()", "another-users-mark")
    port = script.said()
    source = Path(__file__).resolve().parent.parent / "exporter"
    done = subprocess.run(
        [sys.executable, "-c", POWERLESS, str(script.pid), port, str(Path.cwd()), "another-users-mark$"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(source)},
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    found, folder, environment, by_port, by_command = done.stdout.splitlines()
    assert found == "command", "what any user may read of it is enough for a rule that asks for nothing else"
    assert folder == environment == "no OS process matches; 1 of other users could not be looked at"
    assert by_port == f"someone listens on port {port} whose OS process this exporter may not see: another user's"
    assert by_command == "None"


# ── what it costs ───────────────────────────────────────────────────────────────────────────────────────────────────


class Counted:
    """Details of made-up processes, and how often they are asked for."""

    def __init__(self) -> None:
        self.words: dict[int, list[str]] = {}
        self.asked: list[int] = []
        self.listened: list[set[int]] = []

    def argv(self, pid: int) -> list[str] | None:
        self.asked.append(pid)
        return self.words.get(pid, ["idle"])

    def cwd(self, pid: int) -> str | None:
        return "/srv/\udcff"

    def environ(self, pid: int) -> dict[str, str] | None:
        return {}

    def variable(self, pid: int, name: str) -> str | None:
        return None

    def uid(self, pid: int) -> int | None:
        return 0

    def listeners(self, ports: Iterable[int]) -> dict[int, set[int]]:
        self.listened.append(set(ports))
        return {}


@pytest.fixture
def world() -> tuple[Kernel, Counted, Callable[..., Finder]]:
    kernel, details = Kernel(), Counted()
    for _ in range(50):
        kernel.fork(1, new_session=True)

    def finder(*rules: Rule) -> Finder:
        return Finder(
            rules,
            hosts=lambda: kernel,
            details=details,
            clock=lambda: 1000.0 + kernel.clock + 2 * YOUNG,
            own_pid=1,
            here=lambda _: True,
        )

    return kernel, details, finder


def test_who_is_known_is_asked_seldom(world: tuple[Kernel, Counted, Callable[..., Finder]]) -> None:
    kernel, details, finder = world
    eyes = finder(Rule(name="r", command="server"), Rule(name="s", command="worker"))
    eyes.look()
    assert sorted(details.asked) == sorted(kernel.procs), "each once, for all rules"
    details.asked.clear()
    for _ in range(ASKED_AGAIN):
        eyes.look()
    assert sorted(details.asked) == sorted(kernel.procs), "and once more in so many looks"


def test_one_that_becomes_another_program_is_noticed(world: tuple[Kernel, Counted, Callable[..., Finder]]) -> None:
    _, details, finder = world
    eyes = finder(Rule(name="r", command="^server$"))
    assert eyes.look().matches == []
    details.words[7] = ["server"]
    looks = [eyes.look() for _ in range(ASKED_AGAIN)]
    assert [match.process.pid for match in looks[-1].matches] == [7]
    assert looks[-1].matches[0].cwd == "/srv/\ufffd", "text that can be sent"


def test_all_ports_are_asked_for_at_once_and_none_if_no_rule_has_one(
    world: tuple[Kernel, Counted, Callable[..., Finder]],
) -> None:
    _, details, finder = world
    finder(Rule(name="a", ports=(1, 2)), Rule(name="b", ports=(2, 3))).look()
    assert details.listened == [{1, 2, 3}]
    finder(Rule(name="r", command="x")).look()
    assert len(details.listened) == 1


def test_a_pid_that_came_round_again_is_somebody_else(world: tuple[Kernel, Counted, Callable[..., Finder]]) -> None:
    kernel, details, finder = world
    eyes = finder(Rule(name="r", command="^server$"))
    details.words[7] = ["server"]
    (before,) = eyes.look().matches
    kernel.procs[7].started += 1000
    details.words[7] = ["other"]
    assert eyes.look().matches == []
    details.words[7] = ["server"]
    kernel.procs[7].started += 1000
    (after,) = eyes.look().matches
    assert after.process != before.process
