"""`headway report` in shell scripts, against a real exporter."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answering import answering
from cli import HEADWAY, headway, surroundings
from headway import Client
from headway.cli.exits import Exit
from headway.cli.pump import MAX_LINE, MAX_LINES, Lines
from headway.ids import check_id, new_id
from running import RunningExporter, Starter
from waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
SHELLS = ("bash", "dash")


@pytest.fixture
def client(shared_exporter: RunningExporter) -> Client:
    return Client(shared_exporter.url, shared_exporter.key)


@pytest.fixture
def environ(shared_exporter: RunningExporter, tmp_path: Path) -> dict[str, str]:
    return surrounded(HEADWAY_URL=shared_exporter.url, HEADWAY_SPOOL=str(tmp_path / "spool"))


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{unused.getsockname()[1]}"


def surrounded(**more: str) -> dict[str, str]:
    """The environment of a script that finds the command `headway`."""
    return {**surroundings(), "PATH": f"{Path(HEADWAY).parent}:{os.environ['PATH']}", **more}


def run(
    shell: str, script: str, environ: Mapping[str, str], folder: Path, timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    path = folder / f"{new_id()}.sh"
    path.write_text(textwrap.dedent(script))
    return subprocess.run(
        [shell, str(path)], capture_output=True, text=True, timeout=timeout, env=environ, stdin=subprocess.DEVNULL, check=False
    )


def piped(data: bytes, *args: str, environ: Mapping[str, str], timeout: float = 60.0) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([HEADWAY, "report", *args], input=data, capture_output=True, timeout=timeout, env=environ, check=False)


# ── scripts ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def of_the_readme(environ: dict[str, str], folder: Path, dump: str) -> str:
    """The script of the README, with a pg_dump that does this."""
    block = next(b for b in re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S) if "headway report create" in b)
    (folder / "pg_dump").write_text(f"#!/bin/sh\n{dump}\n")
    (folder / "pg_dump").chmod(0o755)
    environ["PATH"] = f"{folder}:{environ['PATH']}"
    return f"cd {folder}\n{block}\necho $ID $$"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_the_readme(shell: str, client: Client, environ: dict[str, str], tmp_path: Path) -> None:
    done = run(shell, of_the_readme(environ, tmp_path, "echo a dump"), environ, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    process_id, pid = done.stdout.split()
    found = client.get(process_id)
    assert (found["name"], found["type"], found["status"], found["summary"]) == ("Nightly dump", "cron", "done", "3 tables")
    assert found["progress"] == {"current": 3, "total": 3, "unit": "tables", "initial": None, "ratio": 1}
    assert found["log_tail"] == ["users dumped", "orders dumped", "events dumped"]
    assert found["pid"] == int(pid) and found["create_time"] is not None and found["cwd"] == str(tmp_path)
    assert found["command"].startswith(shell) and found["command"].endswith(".sh")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_the_readme_says_that_a_dump_failed(
    shell: str, client: Client, environ: dict[str, str], tmp_path: Path
) -> None:
    script = of_the_readme(environ, tmp_path, 'test "$2" != orders || exit 3').replace("ID=$(", "echo $$ > pid\nID=$(")
    assert run(shell, script, environ, tmp_path).returncode == 3
    pid = int((tmp_path / "pid").read_text())
    (found,) = [one for one in client.list(name="Nightly dump", state="all", limit=50) if one["pid"] == pid]
    assert (found["status"], found["exit_code"], found["progress"]["current"]) == ("failed", 3, 1)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "how",
    [
        "ID=$(CREATE)",
        "ID=`CREATE`",
        "ID=$(CREATE || true)",
        "ID=$(CREATE | tail -n 1)",
        "ID=$(cd / && CREATE; true)",
        "ID=$( (CREATE; true) )",
        "f() { CREATE; true; }; ID=$(f)",
        "ID=$(timeout 20 CREATE)",
        "ID=$(timeout 20 CREATE || true)",
        "CREATE >id; read -r ID <id",
    ],
)
def test_it_is_the_script_that_is_watched(shell: str, how: str, client: Client, environ: dict[str, str], tmp_path: Path) -> None:
    script = f"cd {tmp_path}\n{how}\necho $ID $$".replace("CREATE", "headway report create --name 'who is it'")
    done = run(shell, script, environ, tmp_path)
    assert done.stderr == ""
    process_id, pid = done.stdout.split()
    assert client.get(process_id)["pid"] == int(pid)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("how", ["$(CREATE)", "$(CREATE || true)"])
def test_a_job_in_the_background_is_watched_itself(
    shell: str, how: str, client: Client, environ: dict[str, str], tmp_path: Path
) -> None:
    how = how.replace("CREATE", "headway report create --name job")
    # The parent of a program that a subshell runs is that subshell; `:` keeps dash from putting the program in its place.
    script = f"{{ ID={how}; echo $ID; sh -c 'echo $PPID; :'; :; }} & wait"
    done = run(shell, script, environ, tmp_path)
    assert done.stderr == ""
    process_id, pid = done.stdout.split()
    assert client.get(process_id)["pid"] == int(pid)


def test_a_script_that_dies_without_a_word_is_noticed(client: Client, environ: dict[str, str], tmp_path: Path) -> None:
    script = tmp_path / "dies.sh"
    script.write_text("ID=$(headway report create --name dies || true)\necho $ID\nread -r never\n")
    with subprocess.Popen(["bash", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ) as child:
        assert child.stdout is not None
        process_id = child.stdout.readline().strip()
        wait_until(lambda: client.get(process_id)["memory_bytes"] is not None, what="a sample of it")
        assert client.get(process_id)["status"] == "running"
        child.kill()
    wait_until(lambda: client.get(process_id)["status"] == "orphaned", 30, "the word that it is gone")


def test_another_process_or_none_can_be_named(client: Client, environ: dict[str, str]) -> None:
    other = headway("report", "create", "--name", "x", "--pid", str(os.getpid()), environ=environ).stdout.strip()
    assert client.get(other)["pid"] == os.getpid()
    none = headway("report", "create", "--name", "x", "--no-pid", "--lease", "1h", environ=environ).stdout.strip()
    found = client.get(none)
    assert found["pid"] is None and found["host"] == os.uname().nodename and found["command"] is None


# ── what is said ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_everything_that_can_be_said_at_the_creation(client: Client, environ: dict[str, str]) -> None:
    parent = headway("report", "create", "--name", "above", environ=environ).stdout.strip()
    mine = f"mine-{new_id()[-12:]}"
    flags = (
        f"--name below --type pipeline --id {mine} --status queued --current 2 --total 8 --unit files --stage read "
        f"--parent {parent} "
        "--description why --user ada --project p --task t --attempt a --agent g --group gr --cwd /srv --executor --cancellable "
        "--command 'run --password hunter2' --expected 5m --timeout 1h --stuck-after 90 --waiting-after 2m --time-sink-ratio 3 "
        "--time-sink-after 2m --cpu-ratio .5 "
        "--memory-ratio 0.25 --rate 60 --eta 2m --metadata n=3 --metadata 'l=[1, 2]' --metadata text=a=b --metadata nan=NaN"
    )
    done = headway("report", "create", *shlex.split(flags), environ=environ)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{mine}\n", "")
    found = client.get(mine)
    expected = {
        "name": "below", "type": "pipeline", "status": "queued", "stage": "read", "parent_id": parent, "description": "why",
        "user": "ada", "project": "p", "task": "t", "attempt": "a", "agent": "g", "group": "gr", "cwd": "/srv", "executor": True,
        "cancellable": True, "command": "run --password ***", "expected_duration": 300, "timeout": 3600,
        "thresholds": {
            "stuck_after": 90, "time_sink_ratio": 3, "time_sink_after": 120, "cpu_ratio": 0.5, "memory_ratio": 0.25,
            "waiting_after": 120,
        },
        "metadata": {"n": 3, "l": [1, 2], "text": "a=b", "nan": "NaN"},
        "progress": {"current": 2, "total": 8, "unit": "files", "initial": 2, "ratio": 0.25},
    }  # fmt: skip
    assert {field: found[field] for field in expected} == expected
    again = headway("report", "create", *shlex.split(flags), environ=environ)
    assert (again.returncode, again.stdout, again.stderr) == (0, f"{mine}\n", "")


def test_updates_and_ends(client: Client, environ: dict[str, str]) -> None:
    def said(*args: str) -> dict[str, Any]:
        done = headway("report", *args, environ=environ)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return client.get(args[1])

    def made(*args: str) -> str:
        return headway("report", "create", "--name", "x", *args, environ=environ).stdout.strip()

    one = made("--status", "queued", "--metadata", "a=1", "--metadata", "b=2")
    assert said("update", one, "--status", "running")["status"] == "running"
    found = said(
        "update", one, "--current", "3", "--total", "4", "--unit", "rows", "--stage", "fit", "--summary", "so far", "--rate", "120",
        "--eta", "1m", "--expected", "2h", "--timeout", "3h", "--stuck-after", "5m", "--metadata", "b=null", "--metadata", "c=x",
        "--line", "first", "--line", "--second", "--line", "third\nfourth",
    )  # fmt: skip
    assert found["progress"] == {"current": 3, "total": 4, "unit": "rows", "initial": None, "ratio": 0.75}
    assert (found["stage"], found["summary"], found["rate"]) == ("fit", "so far", 120)
    assert (found["expected_duration"], found["timeout"], found["thresholds"]["stuck_after"]) == (7200, 10800, 300)
    assert 0 < found["eta_seconds"] <= 60 and found["metadata"] == {"a": 1, "c": "x"}
    assert found["log_tail"] == ["first", "--second", "third", "fourth"]
    assert said("update", one, "--waiting-for", "-- approval of\n it")["waiting_for"] == "-- approval of it"
    assert said("update", one, "--advance", "0.5")["progress"]["current"] == 3.5
    assert said("update", one, "--goes-on")["waiting_for"] is None
    assert said("update", one, "--waiting-for", "x" * 200)["waiting_for"] == "x" * 159 + "…"
    ended = said("done", one, "--summary", "-- all rows", "--line", "bye", "--metadata", "d=true")
    assert (ended["status"], ended["summary"], ended["log_tail"][-1]) == ("done", "-- all rows", "bye")
    assert ended["metadata"]["d"] is True
    failed = said("fail", made(), "--exit-code", "3")
    assert (failed["status"], failed["exit_code"], failed["error"]) == ("failed", 3, "ended with exit code 3")
    assert said("fail", made(), "--error", "-x is no flag")["error"] == "-x is no flag"
    cancelled = said("cancel", made(), "--reason", "Ctrl-C")
    assert (cancelled["status"], cancelled["error"]) == ("cancelled", "Ctrl-C")


def test_steps_in_parallel_are_all_counted(client: Client, environ: dict[str, str], tmp_path: Path) -> None:
    script = """
        ID=$(headway report create --name parallel --total 24)
        for worker in 1 2 3; do
            (for step in 1 2 3 4 5 6 7 8; do headway report update $ID --advance 1 --wait 30; done) &
        done
        wait
        echo $ID
        """
    done = run("dash", script, environ, tmp_path)
    assert done.stderr == ""
    assert client.get(done.stdout.strip())["progress"]["current"] == 24


def test_text_that_is_too_long_or_no_utf8_is_no_error(client: Client, environ: dict[str, str]) -> None:
    made = headway("report", "create", "--name", "n" * 1000, "--project", "\udcff\udcfe é", environ=environ)
    assert made.stderr == ""
    found = client.get(made.stdout.strip())
    assert len(found["name"]) == 512 and found["name"].endswith("n…") and found["project"] == "�� é"
    done = headway("report", "done", found["id"], "--summary", "s" * 9000, "--line", "\udce4", environ=environ)
    assert done.stderr == "" and len(client.get(found["id"])["summary"]) == 4096
    assert client.get(found["id"])["log_tail"] == ["�"]


def test_a_field_that_is_refused_costs_only_that_field(client: Client, environ: dict[str, str]) -> None:
    large = json.dumps(["x" * 60000] * 2)
    done = headway("report", "create", "--name", "x", "--stage", "kept", "--metadata", f"large={large}", environ=environ)
    assert done.returncode == 0 and "metadata" in done.stderr and done.stderr.count("\n") == 1
    assert client.get(done.stdout.strip())["stage"] == "kept"


def test_an_id_that_was_used_before(client: Client, environ: dict[str, str]) -> None:
    mine = f"mine-{new_id()[-12:]}"
    create = ("report", "create", "--name", "x", "--id", mine)
    headway(*create, environ=environ)
    headway("report", "done", mine, environ=environ)
    again = headway(*create, environ=environ)
    assert again.returncode == 0 and again.stdout == f"{mine}\n" and "is an earlier process, which is done" in again.stderr
    assert headway(*create, "--strict", environ=environ).returncode == Exit.FAILED
    other = headway("report", "create", "--name", "other", "--id", mine, "--strict", environ=environ)
    assert other.returncode == Exit.FAILED and other.stdout == f"{mine}\n" and "in use" in other.stderr


# ── standard input ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_lines_of_standard_input(client: Client, environ: dict[str, str]) -> None:
    made = client.create("x")["id"]
    data = b"one\n\ntwo\r\n\x1b[31mred \xff\x00\n10%\r20%\r30%\r\nlast without end"
    done = piped(data, "update", made, "--stdin", "--tee", "--stage", "reading", environ=environ)
    assert (done.returncode, done.stdout, done.stderr) == (0, data, b"")
    assert client.get(made)["log_tail"] == ["one", "", "two", "\x1b[31mred �\x00", "30%", "last without end"]
    assert client.get(made)["stage"] == "reading"
    done = piped(b"x" * 3_000_000 + b"\nnext\n", "update", made, "--stdin", environ=environ)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    tail = client.get(made)["log_tail"]
    assert tail[-1] == "next" and len(tail[-2]) == MAX_LINE and tail[-2].endswith("x…")


def test_lines_arrive_while_it_reads_and_an_interrupt_loses_none(client: Client, environ: dict[str, str]) -> None:
    made = client.create("x")["id"]
    command = [HEADWAY, "report", "update", made, "--stdin"]
    for number, code in ((signal.SIGINT, Exit.INTERRUPTED), (signal.SIGTERM, 143)):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environ) as child:
            assert child.stdin is not None and child.stderr is not None
            child.stdin.write(f"first {number}\n".encode())
            child.stdin.flush()
            wait_until(partial(has_line, client, made, f"first {number}"), what="the first line")
            child.stdin.write(f"second {number}\nand what came la".encode())
            child.stdin.flush()
            wait_until(lambda: waiting_bytes(child.stdin) == 0, what="that it has read all")
            child.send_signal(number)
            assert child.wait(30) == code
            assert child.stderr.read() == b""
        assert client.get(made)["log_tail"][-2:] == [f"second {number}", "and what came la"]


def has_line(client: Client, process_id: str, line: str) -> bool:
    return line in client.get(process_id)["log_tail"]


def waiting_bytes(pipe: Any) -> int:
    """Bytes in a pipe that nobody has read."""
    import array
    import fcntl
    import termios

    size = array.array("i", [0])
    fcntl.ioctl(pipe.fileno(), termios.FIONREAD, size)
    return size[0]


def test_the_program_before_it_never_waits_for_the_exporter(nowhere: str, environ: dict[str, str], tmp_path: Path) -> None:
    environ["HEADWAY_URL"] = nowhere
    script = """
        set -e
        ID=$(headway report create --name noisy)
        { seq 200000; echo written >&2; } | headway report update $ID --stdin --tee | tail -n 1
        echo $ID
        """
    done = run("bash", script, environ, tmp_path)
    assert done.returncode == 0
    last, process_id = done.stdout.split()
    assert last == "200000" and "written" in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("headway: ")]) == 3
    kept = [json.loads(path.read_text()) for path in sorted((tmp_path / "spool").glob("*.ready"))]
    assert [item["id"] for item in kept] == [process_id] * 2
    assert kept[1]["log"][-1] == "200000" and len(kept[1]["log"]) <= MAX_LINES + 1 and "lines dropped" in kept[1]["log"][0]
    assert kept[1]["create"]["name"] == "noisy"


def test_lines_are_sent_at_most_once_a_second(tmp_path: Path) -> None:
    with answering() as server:
        environ = surrounded(HEADWAY_URL=server.url, HEADWAY_SPOOL=str(tmp_path))
        begun = time.monotonic()
        with subprocess.Popen([HEADWAY, "report", "update", "x", "--stdin"], stdin=subprocess.PIPE, env=environ) as child:
            assert child.stdin is not None
            count = 0

            def write() -> bool:
                nonlocal count
                count += 1
                assert child.stdin is not None
                child.stdin.write(b"%d\n" % count)
                child.stdin.flush()
                return len(server.requests) >= 3

            wait_until(write, 30, "three groups")
            child.stdin.close()
            assert child.wait(30) == 0
        took = time.monotonic() - begun
        sent = [json.loads(body)["log"] for _, _, body in server.requests]
        assert [line for lines in sent for line in lines] == [str(n + 1) for n in range(count)]
        assert len(sent) <= took + 2


def test_what_could_not_be_sent_is_sent_when_the_exporter_is_back(tmp_path: Path) -> None:
    with answering() as server:
        server.status = 503
        environ = surrounded(HEADWAY_URL=server.url, HEADWAY_SPOOL=str(tmp_path))
        command = [HEADWAY, "report", "update", "x", "--stdin"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environ) as child:
            assert child.stdin is not None and child.stderr is not None
            child.stdin.write(b"one\n")
            child.stdin.flush()
            wait_until(lambda: len(server.requests) >= 2, what="a second try")
            server.status = 200
            child.stdin.write(b"two\n")
            child.stdin.close()
            assert child.wait(30) == 0
            assert child.stderr.read().count(b"\n") == 1
        assert json.loads(server.requests[-1][2])["log"] == ["one", "two"]
        assert list(tmp_path.glob("*.ready")) == []


def test_a_reader_that_goes_away_ends_it_as_it_ends_tee(client: Client, environ: dict[str, str], tmp_path: Path) -> None:
    made = client.create("x")["id"]
    script = f"yes line | headway report update {made} --stdin --tee | head -n 1\necho ${{PIPESTATUS[@]}}"
    done = run("bash", script, environ, tmp_path)
    assert done.stdout == f"line\n141 {Exit.PIPE_CLOSED.value} 0\n" and "Traceback" not in done.stderr
    assert "line" in client.get(made)["log_tail"]


@given(st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n", b"\xc3\xa9", b"\xff"]), max_size=40), st.data())
def test_lines_do_not_depend_on_how_they_arrive(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    at_once, piecewise = Lines(), Lines()
    at_once.feed(whole)
    at_once.finish()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        piecewise.feed(whole[start:end])
    piecewise.finish()
    found = at_once.take()
    assert found == piecewise.take()
    if b"\r" not in whole:
        assert found == whole.decode("utf-8", "replace").removesuffix("\n").split("\n") or not whole


# ── trouble ─────────────────────────────────────────────────────────────────────────────────────────────────────────

SCRIPT = """
    set -eu
    ID=$(headway report create --name down --total 4 --command 'run --password hunter2')
    headway report update "$ID" --current 2
    headway report update "$ID" --advance 1
    headway report done "$ID" --summary "all the same"
    echo $ID
    """


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_goes_on_without_an_exporter_and_its_end_is_told_later(
    shell: str, start_exporter: Starter, tmp_path: Path
) -> None:
    exporter = start_exporter("--sample-interval", "0.2")
    exporter.kill()
    environ = surrounded(HEADWAY_URL=exporter.url, HEADWAY_SPOOL=str(exporter.data_dir / "spool"))
    done = run(shell, SCRIPT, environ, tmp_path)
    assert done.returncode == 0
    process_id = check_id(done.stdout.strip())
    lines = done.stderr.splitlines()
    assert len(lines) == 4 and all(line.startswith("headway: the exporter at ") and "cannot be reached" in line for line in lines)
    assert "only its count is kept" in lines[1] and "is kept in" in lines[0] and "is kept in" in lines[3]
    for path in (exporter.data_dir / "spool").glob("*.ready"):
        assert "hunter2" not in path.read_text() and path.stat().st_mode & 0o777 == 0o600
    exporter.start()
    client = Client(exporter.url, exporter.key)
    found = wait_until(
        lambda: next((p for p in client.list(state="all") if p["id"] == process_id and p["status"] == "done"), {}),
        what="the end from the spool",
    )
    assert (found["name"], found["summary"]) == ("down", "all the same")
    assert (found["progress"]["current"], found["progress"]["total"]) == (3, 4)


@pytest.mark.parametrize(
    ("before", "while_down", "after", "expected"),
    [
        ("--current 5", ["--advance 2", "--advance 3"], "update --advance 1", 11),
        ("--current 5", ["--advance 2", "--advance 3"], "done", 10),
        ("--current 5", ["--current 8", "--advance 1"], "update --advance 1", 10),
        ("--current 5", ["--advance 1", "--current 8"], "done", 8),
        ("--current 5", ["--advance 1"], "update --current 20", 20),
    ],
)
def test_what_was_counted_while_the_exporter_was_down_counts(
    before: str, while_down: list[str], after: str, expected: float, start_exporter: Starter, tmp_path: Path
) -> None:
    exporter = start_exporter()
    client = Client(exporter.url, exporter.key)
    environ = {"HEADWAY_URL": exporter.url, "HEADWAY_SPOOL": str(tmp_path / "spool")}
    made = headway("report", "create", "--name", "x", "--no-pid", environ=environ).stdout.strip()
    assert headway("report", "update", made, *before.split(), environ=environ).stderr == ""
    exporter.stop()
    for step in while_down:
        assert "only its count is kept" in headway("report", "update", made, *step.split(), environ=environ).stderr
    exporter.start()
    verb, *flags = after.split()
    assert headway("report", verb, made, *flags, environ=environ).stderr == ""
    assert client.get(made)["progress"]["current"] == expected
    assert list((tmp_path / "spool").glob("unsent*")) == []


def test_an_update_brings_a_creation_that_waits(start_exporter: Starter, tmp_path: Path) -> None:
    exporter = start_exporter()
    exporter.kill()
    # Not the spool that the exporter empties itself.
    environ = {"HEADWAY_URL": exporter.url, "HEADWAY_SPOOL": str(tmp_path / "elsewhere")}
    process_id = headway("report", "create", "--name", "early", "--no-pid", environ=environ).stdout.strip()
    exporter.start()
    done = headway("report", "update", process_id, "--current", "1", "--strict", environ=environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert Client(exporter.url, exporter.key).get(process_id)["progress"]["current"] == 1
    assert list((tmp_path / "elsewhere").glob("*.ready")) == []


def test_an_end_in_the_spool_brings_its_creation(nowhere: str, tmp_path: Path) -> None:
    environ = {"HEADWAY_URL": nowhere, "HEADWAY_SPOOL": str(tmp_path)}
    create = ("report", "create", "--current", "4", "--total", "9", "--name")
    one, two = (headway(*create, name, environ=environ).stdout.strip() for name in ("one", "two"))
    headway("report", "update", two, "--advance", "3", environ=environ)
    headway("report", "fail", two, "--error", "no", environ=environ)
    *_, last = sorted(tmp_path.glob("*.ready"))
    item = json.loads(last.read_text())
    assert (item["id"], item["status"], item["error"], item["create"]["name"]) == (two, "failed", "no", "two")
    assert item["progress"] == {"current": 7} and item["create"]["progress"]["current"] == 4
    assert item["url"] == nowhere and one not in last.read_text()


@pytest.mark.parametrize(
    "verb", ["create --name x", "update x --current 1", "update x --advance 1", "done x", "fail x", "cancel x"]
)
def test_strict_says_what_happened(verb: str, nowhere: str, tmp_path: Path) -> None:
    environ = {"HEADWAY_URL": nowhere, "HEADWAY_SPOOL": str(tmp_path)}
    for flags, code in (((), 0), (("--strict",), Exit.UNREACHABLE)):
        done = headway("report", *verb.split(), *flags, environ=environ)
        assert done.returncode == code
        assert done.stderr.startswith(f"headway: the exporter at {nowhere} cannot be reached: ") and done.stderr.count("\n") == 1
        assert bool(done.stdout) == verb.startswith("create")


def test_refusals_name_what_is_wrong(client: Client, environ: dict[str, str]) -> None:
    ended = client.create("x")["id"]
    client.update(ended, status="done")
    unknown = new_id()
    for args, code, words in (
        (["update", unknown, "--current", "1"], Exit.NOT_FOUND, "there is no process"),
        (["done", unknown], Exit.NOT_FOUND, "there is no process"),
        (["fail", ended, "--error", "no"], Exit.FAILED, "done is final"),
        (["update", ended, "--status", "running"], Exit.FAILED, "done is final"),
    ):
        for flags, expected in (((), 0), (("--strict",), code)):
            done = headway("report", *args, *flags, environ=environ)
            assert done.returncode == expected and words in done.stderr and done.stderr.count("\n") == 1


def test_a_second_end_leaves_the_summary_and_says_so(client: Client, environ: dict[str, str]) -> None:
    ended = client.create("x")["id"]
    for summary, words in (("first", ""), ("first", ""), ("again", "its first summary stays")):
        done = headway("report", "done", ended, "--summary", summary, environ=environ)
        assert done.returncode == 0 and words in done.stderr and bool(done.stderr) == bool(words)
        assert client.get(ended)["summary"] == "first"


def test_an_update_after_the_end_says_what_is_ignored(client: Client, environ: dict[str, str]) -> None:
    ended = client.create("x", progress={"total": 3})["id"]
    client.update(ended, status="done", summary="first")
    for args, code, words in (
        (["--current", "2", "--stage", "late", "--line", "more"], 1, "ignored: progress, stage; added: lines"),
        (["--advance", "1"], 1, "ignored: progress"),
        (["--summary", "again"], 1, "ignored: summary"),
        (["--line", "last"], 0, "added: lines"),
    ):
        for flags, expected in (((), 0), (("--strict",), code)):
            done = headway("report", "update", ended, *args, *flags, environ=environ)
            assert (done.returncode, done.stderr) == (expected, f"headway: {ended} has ended before, it is done; {words}\n")
    pipe = piped(b"piped\n", "update", ended, "--stdin", environ=environ)
    assert (pipe.returncode, pipe.stderr.decode()) == (0, f"headway: {ended} has ended before, it is done; added: lines\n")
    found = client.get(ended)
    assert (found["progress"]["current"], found["stage"], found["summary"]) == (None, None, "first")
    assert found["log_tail"] == ["more", "more", "last", "last", "piped"]


def test_keys(start_exporter: Starter, tmp_path: Path) -> None:
    exporter = start_exporter("--anonymous", "none")
    spool = {"HEADWAY_URL": exporter.url, "HEADWAY_SPOOL": str(tmp_path / "spool")}
    nowhere = {**spool, "HEADWAY_DATA_DIR": str(tmp_path)}
    create = ("report", "create", "--name", "x", "--strict")
    for more in ({}, {"HEADWAY_KEY": "hw_wrong"}):
        done = headway(*create, environ={**nowhere, **more})
        assert done.returncode == Exit.REFUSED and done.stderr.count("--key-file") == 1 and done.stdout
        assert "Bearer" not in done.stderr
    local = headway(*create, environ={**spool, "HEADWAY_DATA_DIR": str(exporter.data_dir)})
    assert (local.returncode, local.stderr) == (0, "")
    given = headway(*create, "--key-file", str(exporter.data_dir / "admin.key"), environ=nowhere)
    assert (given.returncode, given.stderr) == (0, "")
    assert (
        headway("report", "done", given.stdout.strip(), "--strict", environ={**nowhere, "HEADWAY_KEY": exporter.key}).returncode
        == 0
    )
    create_key = ("key", "create", "--role", "viewer", "--name", "looks", "--data-dir", str(exporter.data_dir))
    looks = headway(*create_key).stdout.strip()
    forbidden = headway(*create, environ={**nowhere, "HEADWAY_KEY": looks})
    assert forbidden.returncode == Exit.REFUSED and forbidden.stderr.count("--key-file") == 1, forbidden.stderr
    missing = headway(*create, "--key-file", "/none", environ=nowhere)
    assert missing.returncode == Exit.USAGE and "cannot read the key file /none" in missing.stderr


def test_an_exporter_that_hangs_costs_the_wait_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        environ = {"HEADWAY_URL": url, "HEADWAY_SPOOL": str(tmp_path)}
        begun = time.monotonic()
        first = headway("report", "update", "x", "--current", "1", "--wait", "0.7", environ=environ)
        assert 0.7 <= time.monotonic() - begun < 30
        assert first.returncode == 0 and first.stderr.startswith(f"headway: the exporter at {url} did not answer within 0.7 s")
        second = headway("report", "update", "x", "--current", "2", environ=environ)
        assert "did not answer within 0.25 s" in second.stderr
        end = headway("report", "done", "x", "--strict", environ=environ)
        assert end.returncode == Exit.UNREACHABLE and "is kept in" in end.stderr


def test_after_an_answer_the_whole_wait_is_granted_again(tmp_path: Path) -> None:
    with answering() as server:
        environ = {"HEADWAY_URL": server.url, "HEADWAY_SPOOL": str(tmp_path)}
        server.delay = 2.0
        assert "within 0.3 s" in headway("report", "update", "x", "--stage", "s", "--wait", "0.3", environ=environ).stderr
        server.delay = 0.0
        assert headway("report", "update", "x", "--stage", "s", environ=environ).stderr == ""
        server.delay = 0.6
        assert headway("report", "update", "x", "--stage", "s", "--wait", "20", environ=environ).stderr == ""


@pytest.mark.parametrize("status", [500, 503, 507, 429, 302, 200])
def test_an_exporter_that_fails_or_is_none(status: int, tmp_path: Path) -> None:
    with answering() as server:
        server.status, server.body = status, b"<h1>hello</h1>"
        environ = {"HEADWAY_URL": server.url, "HEADWAY_SPOOL": str(tmp_path)}
        done = headway("report", "done", "x", environ=environ)
        assert done.returncode == 0 and "is kept in" in done.stderr and done.stderr.count("\n") == 1
        assert headway("report", "done", "x", "--strict", environ=environ).returncode == Exit.FAILED
        assert len(list(tmp_path.glob("*.ready"))) == 2


def test_a_spool_that_cannot_be_written_is_said(nowhere: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environ = {"HEADWAY_URL": nowhere, "HEADWAY_SPOOL": str(tmp_path / "file")}
    done = headway("report", "done", "x", environ=environ)
    assert done.returncode == 0 and "is lost" in done.stderr and done.stderr.count("\n") == 1
    assert headway("report", "update", "x", "--advance", "1", environ=environ).returncode == 0


def test_off_reports_nothing(tmp_path: Path) -> None:
    environ = surrounded(HEADWAY_URL="off", HEADWAY_SPOOL=str(tmp_path))
    done = run("dash", SCRIPT + "\nseq 3 | headway report update $ID --stdin --tee", environ, tmp_path)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.endswith("\n1\n2\n3\n")
    assert list(tmp_path.glob("*.ready")) == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("create", "the following arguments are required: --name"),
        ("create --name x --total many", "argument --total: 'many' is not a number"),
        ("create --name x --total -1", "argument --total"),
        ("create --name x --total inf", "argument --total: inf is not within 0 to 2^53"),
        ("create --name ' '", "argument --name: it is blank"),
        ("create --name x --timeout soon", "argument --timeout: 'soon' is not a duration"),
        ("create --name x --type job", "unknown --type job: there are subagent, pipeline"),
        ("create --name x --metadata novalue", "argument --metadata: it must be KEY=VALUE"),
        ("create --name x --id a/b", "argument --id: an id is 1 to 64 letters"),
        ("create --name x --pid 1 --no-pid", "not allowed with argument --pid"),
        ("create --name x --nmae y", "unknown argument --nmae: did you mean --name?"),
        ("update x", "nothing to report"),
        ("update x --tee --current 1", "--tee goes with --stdin"),
        ("update x --current 1 --advance 1", "not allowed with argument --current"),
        ("update '' --current 1", "it is empty: did `headway report create` fail?"),
        ("update x --line", "expected one argument"),
        ("done", "the following arguments are required: ID"),
        ("fail x --exit-code many", "argument --exit-code: 'many' is not an exit code"),
        ("done x --wait 0", "argument --wait: it must be more than 0"),
        ("finish x", "unknown command finish"),
    ],
)
def test_a_wrong_command_line_is_code_2(args: str, said: str, nowhere: str) -> None:
    done = headway("report", *shlex.split(args), HEADWAY_URL=nowhere)
    assert done.returncode == Exit.USAGE and said in done.stderr and done.stderr.count("\n") == 1 and done.stdout == ""


def test_what_a_report_imports(tmp_path: Path) -> None:
    code = "import sys; from headway.cli.main import main; main(sys.argv[1:]); print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code, "report", "update", "x", "--current", "1"],
        env=surrounded(HEADWAY_URL="http://127.0.0.1:1", HEADWAY_SPOOL=str(tmp_path)), capture_output=True, text=True, check=True,
    )  # fmt: skip
    bare = (
        "import argparse, sys; p = argparse.ArgumentParser(); p.add_argument('--x'); p.parse_args(['--x=1']); print(*sys.modules)"
    )
    unavoidable = subprocess.run([sys.executable, "-c", bare], capture_output=True, text=True, check=True).stdout.split()
    slow = {"requests", "urllib3", "http.client", "ssl", "rich", "psutil", "fastapi", "msgspec", "dataclasses", "pathlib"}
    slow |= {"headway.settings", "headway.keys", "headway.cli.ps"}
    assert set(done.stdout.split()) & slow - set(unavoidable) == set()
