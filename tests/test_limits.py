"""What a command may use: held by `headway run` itself, with and without an exporter."""

from __future__ import annotations

import os
import resource
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import requests

from cli import HEADWAY, headway, surroundings
from headway import Client, resources
from headway.resources import Resources
from headway.sampler.base import identify
from headway.sampler.strays import Run
from headway.supervisor.usage import UsageWatch, memory_of_tree
from osprocesses import starting, wait_gone
from running import RunningExporter
from terminals import Terminal
from waiting import wait_until

# Reaches what it takes in steps, so that it is seen on the way and a small machine is not filled.
HOG = """
    import sys, time
    print("filling", flush=True)
    kept = []
    for step in range(30):
        kept.append(bytearray(10 << 20))
        time.sleep(0.05)
    time.sleep(300)
"""
# The work is done by children that end, one after the other: no single one of them uses much.
BURNER = """
    import subprocess, sys
    burn = "import time\\nwhile time.process_time() < 0.3: pass"
    while True:
        subprocess.run([sys.executable, "-c", burn], check=True)
"""
SMALL = "import time; kept = bytearray(5 << 20); time.sleep(2.5); print('done')"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


@pytest.fixture
def environ(shared_exporter: RunningExporter, tmp_path: Path) -> dict[str, str]:
    return shared_exporter.environ_of_runs(tmp_path)


@pytest.fixture
def client(shared_exporter: RunningExporter) -> Client:
    return Client(shared_exporter.url, shared_exporter.key)


def ended(client: Client, process_id: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = client.get(process_id)
        return found if found["finished_at"] else None

    return wait_until(look, 30, f"the end of {process_id}") or {}


def test_too_much_memory_ends_it(environ: dict[str, str], client: Client) -> None:
    flags = ["--id", "limit-memory", "--memory-limit", "60MiB", "--grace", "1s"]
    done = headway("run", *flags, "--", *python(HOG), environ=environ)
    assert (done.returncode, done.stdout) == (143, "filling\n")
    found = ended(client, "limit-memory")
    assert found["status"] == "failed" and found["metadata"]["limits"] == {"memory": 60 << 20}
    words = found["error"].split(" of memory; ")
    assert words[0].startswith("ended: it used ") and words[1] == "its limit is 60 MiB"
    assert 60 < float(words[0].split()[-2]) < 320
    assert f"headway: ended with all its children: {found['error'].removeprefix('ended: ')}\n" in done.stderr, done.stderr


def test_cpu_time_is_that_of_all_its_children(environ: dict[str, str], client: Client, tmp_path: Path) -> None:
    code = f"import os\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n" + textwrap.dedent(BURNER)
    done = headway("run", "--id", "limit-cpu", "--cpu-limit", "1500ms", "--grace", "1s", "--", *python(code), environ=environ)
    assert done.returncode == 143
    found = ended(client, "limit-cpu")
    assert found["status"] == "failed" and found["error"].endswith(" s of CPU time; its limit is 1.5 s"), found["error"]
    wait_gone(int((tmp_path / "pid").read_text()))


def test_who_stays_within_its_limits_notices_nothing(environ: dict[str, str], client: Client) -> None:
    flags = ["--id", "limit-kept", "--memory-limit", "1GiB", "--cpu-limit", "1h", "--open-files", "64", "--nice", "1"]
    done = headway("run", *flags, "--", *python(SMALL), environ=environ)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
    found = ended(client, "limit-kept")
    assert found["status"] == "done"
    assert found["metadata"]["limits"] == {"memory": 1 << 30, "cpu_time": 3600, "open_files": 64, "nice": 1}


def test_they_hold_without_an_exporter(tmp_path: Path) -> None:
    environ = {"HEADWAY_URL": "off", "HEADWAY_LOG_DIR": str(tmp_path)}
    done = headway("run", "--memory-limit", "60 MiB", "--", *python(HOG), environ=environ)
    assert (done.returncode, done.stdout) == (143, "filling\n")


def test_open_files_and_niceness_are_those_of_the_command_alone(tmp_path: Path) -> None:
    code = "ulimit -n; ulimit -Hn; nice; cat /proc/$PPID/limits | grep 'open files'; ps -o ni= -p $PPID"
    environ = {"HEADWAY_URL": "off", "HEADWAY_LOG_DIR": str(tmp_path)}
    done = headway("run", "--open-files", "77", "--nice", "3", "--", "sh", "-c", code, environ=environ)
    files, most, niceness, ours, our_niceness = done.stdout.splitlines()
    before = os.nice(0)
    assert (files, most, int(niceness), int(our_niceness)) == ("77", "77", before + 3, before)
    assert int(ours.split()[3]) == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_on_a_terminal_they_are_given_too(tmp_path: Path) -> None:
    environ = {**surroundings(), "HEADWAY_URL": "off", "HEADWAY_LOG_DIR": str(tmp_path)}
    code = "test -t 1 && echo files $(ulimit -n) nice $(nice)"
    person = Terminal([HEADWAY, "run", "--open-files", "77", "--nice", "3", "--", "sh", "-c", code], environ=environ)
    try:
        person.wait_for(f"files 77 nice {os.nice(0) + 3}")
        assert person.wait() == 0
    finally:
        person.close()


def test_what_was_ended_for_a_limit_is_run_again(environ: dict[str, str], client: Client, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    hog = textwrap.dedent(HOG).replace("kept = []", f"kept = []; first = open({str(mark)!r}, 'a').tell() == 0")
    code = hog.replace("for step", f"open({str(mark)!r}, 'a').write('x')\nif not first: sys.exit(0)\nfor step")
    flags = ["--id", "limit-retry", "--memory-limit", "60MiB", "--retry", "2"]
    done = headway("run", *flags, "--", sys.executable, "-c", code, environ=environ)
    assert done.returncode == 0 and mark.read_text() == "xx", done.stderr
    assert "again in 1 s" in done.stderr
    assert ended(client, "limit-retry")["status"] == "failed"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--memory-limit", "lots"], "--memory-limit: 'lots' is not an amount of memory; accepted: a number of bytes"),
        (["--memory-limit", "512"], "--memory-limit: '512' is not an amount of memory"),
        (["--cpu-limit", "soon"], "--cpu-limit: 'soon' is not a duration"),
        (["--cpu-limit", "0.5"], "--cpu-limit: 0.5 is too short"),
        (["--open-files", "2"], "--open-files: 2 open files are too few"),
        (["--open-files", "many"], "--open-files: 'many' is not a whole number"),
        (["--nice", "20"], "--nice: 20 is not within"),
    ],
)
def test_a_wrong_value_names_the_flag(flags: list[str], words: str) -> None:
    done = headway("run", *flags, "--", "true", HEADWAY_URL="off")
    assert done.returncode == 2 and words in done.stderr, done.stderr


def test_only_root_goes_before_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ValueError, match="only root may"):
        resources.nice("-1")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert resources.nice("-1") == -1


def test_more_files_than_there_may_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 512))
    assert resources.open_files(512) == 512
    with pytest.raises(ValueError, match=r"more than the 512 that are allowed here \(ulimit -Hn\)"):
        resources.open_files(513)


def test_what_the_exporter_starts_is_limited_too(client: Client) -> None:
    limits = {"memory": "60 MiB", "cpu_time": "1h", "open_files": 99, "nice": 2}
    started = client.track(["sh", "-c", 'ulimit -n; exec "$0" "$@"', *python(HOG)], limits=limits)
    found = ended(client, started["id"])
    assert found["status"] == "failed" and found["error"].endswith("of memory; its limit is 60 MiB")
    assert found["metadata"]["limits"] == {"memory": 60 << 20, "cpu_time": 3600, "open_files": 99, "nice": 2}
    assert found["log_tail"][0] == "99"


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        ({"memory": "lots"}, "limits.memory"),
        ({"memory": 5}, "limits.memory"),
        ({"memory": True}, "limits.memory"),
        ({"cpu_time": "soon"}, "limits.cpu_time"),
        ({"open_files": 1}, "limits.open_files"),
        ({"open_files": 2**29}, "limits.open_files"),
        ({"nice": 20}, "limits.nice"),
        ({"ram": 5}, "limits.ram"),
    ],
)
def test_a_wrong_value_names_the_field(shared_exporter: RunningExporter, limits: dict[str, Any], field: str) -> None:
    headers = {"Authorization": f"Bearer {shared_exporter.key}"}
    body = {"command": "true", "limits": limits}
    answer = requests.post(f"{shared_exporter.url}/api/processes/track", json=body, headers=headers, timeout=30)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text


def test_pages_that_several_share_are_counted_once() -> None:
    code = "kept = bytearray(40 << 20)\nfor _ in range(4): fork(rest)\nsay('ready'); rest()"
    with starting() as start:
        script = start(code, ready=True)
        root = identify(script.pid)
        assert root is not None
        assert 40 << 20 < memory_of_tree(Run("r", root), -1) < 80 << 20


def test_who_has_left_the_tree_counts_too(environ: dict[str, str], client: Client) -> None:
    code = """
        import os, signal, time
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.alarm(60)
                while True:
                    pass
            os._exit(0)
        os.wait()
        time.sleep(60)
    """
    done = headway("run", "--id", "limit-left", "--cpu-limit", "1s", "--", *python(code), environ=environ)
    assert done.returncode != 0 and "of CPU time; its limit is 1 s" in ended(client, "limit-left")["error"]


def test_trouble_with_looking_is_said_and_ends_nothing() -> None:
    class Broken:
        errors_total = 0

        def members(self, key: str) -> list[int]:
            return []

        def sample(self, roots: object) -> dict[str, Any]:
            raise OSError("no descriptor left")

    said: list[str] = []
    usage = UsageWatch(os.getpid(), Resources(memory=1), said.append, 0.0, Broken())
    usage.begin()
    wait_until(lambda: said, 30, "a warning")
    usage.finish()
    assert usage.passed is None and "no descriptor left" in said[0]
