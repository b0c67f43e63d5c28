"""The commands that ask an exporter, against a real one."""

from __future__ import annotations

import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import HEADWAY, headway, on_terminal, surroundings
from headway import Client
from headway.cli.connection import listening_uids, local_admin_key
from headway.cli.exits import Exit
from headway.cli.text import clean
from headway.ids import new_id
from headway.keys import bootstrap
from running import RunningExporter, Starter
from waiting import wait_until


@pytest.fixture
def client(shared_exporter: RunningExporter) -> Client:
    return Client(shared_exporter.url, shared_exporter.key)


@pytest.fixture
def environ(shared_exporter: RunningExporter) -> dict[str, str]:
    return {"HEADWAY_URL": shared_exporter.url, "HEADWAY_KEY": shared_exporter.key}


@pytest.fixture
def project() -> str:
    """A name that tells this test's processes from those of others."""
    return f"p{new_id()[-12:]}"


@pytest.mark.parametrize("word", ["ps", "status"])
def test_near_by_it_asks_without_what_takes_long_to_load(environ: dict[str, str], word: str) -> None:
    code = "import sys; from headway.cli.main import main; main(sys.argv[1:]); print('requests' in sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code, word], env=surroundings() | environ, capture_output=True, text=True, timeout=60
    )
    assert done.stderr.splitlines()[-1] == "False", done.stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://localhost:1/", "http://127.0.0.1:0", "http://127.0.0.1:99999"])
def test_nobody_near_by_is_said_as_elsewhere(url: str) -> None:
    done = headway("ps", "--url", url)
    assert done.returncode == Exit.UNREACHABLE and done.stderr.startswith(
        f"headway: the exporter at {url.rstrip('/')} cannot be reached: "
    )


@pytest.mark.parametrize("verb", ["show", "output", "wait"])
def test_nobody_near_by_is_no_fault_of_the_name_that_was_asked_for(verb: str) -> None:
    done = headway(verb, "Sync mails", "--url", "http://127.0.0.1:1")
    assert done.returncode == Exit.UNREACHABLE
    assert "http://127.0.0.1:1 cannot be reached: Connection refused. " in done.stderr, done.stderr
    assert "headway serve" in done.stderr and len(done.stderr.splitlines()) == 1


# ── ps ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_ps_in_a_pipe(client: Client, environ: dict[str, str], project: str) -> None:
    parent = client.create("NLP Backfill", "pipeline", project=project, progress={"current": 51, "total": 80, "unit": "files"})
    child = client.create("step one", parent_id=parent["id"], project=project)
    lines = headway("ps", "--project", project, environ=environ).stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ["ID", parent["id"], child["id"]]
    assert lines[1].startswith("running  NLP Backfill  51/80 files  63%") and lines[2].startswith("running    step one")
    client.update(child["id"], status="failed", error="OSError: disk full")
    lines = headway("ps", "--project", project, environ=environ).stdout.splitlines()
    assert len(lines) == 3 and lines[2].startswith("failed     step one"), "it stays until it is dismissed"
    assert headway("ps", "--project", project, "--state", "failed", environ=environ).stdout.splitlines()[1].endswith(child["id"])
    assert len(headway("ps", "--project", project, "--all", environ=environ).stdout.splitlines()) == 3
    assert len(headway("ps", "--project", project, "--all", "--type", "task", environ=environ).stdout.splitlines()) == 2
    assert len(headway("ps", "--parent", parent["id"], "--all", "--name", "step one", environ=environ).stdout.splitlines()) == 2
    Client(client.url, environ["HEADWAY_KEY"]).dismiss(child["id"])
    data = json.loads(headway("ps", "--project", project, "--json", environ=environ).stdout)
    assert [p["id"] for p in data] == [parent["id"]] and data[0]["progress"]["total"] == 80


def test_ps_on_a_terminal(client: Client, environ: dict[str, str], project: str) -> None:
    made = client.create("NLP Backfill", project=project, progress={"current": 51, "total": 80, "unit": "files"})
    with on_terminal("ps", "--project", project, environ=environ) as command:
        assert command.child.wait(30) == 0
        wait_until(lambda: "NLP Backfill" in command.text, what="the table")
    assert "━" in command.text and "63%" in command.text and "\x1b[36m" in command.text
    assert made["id"][:13] in command.text and made["id"] not in command.text
    with on_terminal("ps", "--project", project, environ={**environ, "NO_COLOR": "1"}, width=50) as command:
        assert command.child.wait(30) == 0
        wait_until(lambda: "63%" in command.text, what="the table")
    assert "\x1b[3" not in command.text
    assert all(len(clean(line).rstrip()) <= 50 for line in command.text.splitlines())


def test_what_a_terminal_cannot_show_is_replaced(client: Client, environ: dict[str, str], project: str) -> None:
    made = client.create("漢字 …", project=project, progress={"current": 1, "total": 2})
    ascii_only = {**environ, "PYTHONIOENCODING": "ascii"}
    assert "?? ?" in headway("ps", "--project", project, environ=ascii_only).stdout
    assert headway("show", made["id"], environ=ascii_only).stdout.startswith("* ?? ?")
    with on_terminal("ps", "--project", project, environ=ascii_only) as command:
        assert command.child.wait(30) == 0
        wait_until(lambda: "50%" in command.text, what="the table")
    assert "======------" in clean(command.text)


def test_ps_says_what_to_do_when_there_is_nothing(start_exporter: Starter, tmp_path: Path) -> None:
    exporter = start_exporter()
    done = headway("ps", "--url", exporter.url)
    assert done.returncode == 0 and done.stdout == "" and "headway ps --all" in done.stderr
    assert headway("ps", "--json", "--url", exporter.url).stdout == "[]\n"
    assert "no process matches" in headway("ps", "--name", "x", "--url", exporter.url).stderr


def test_ps_says_when_there_is_more(client: Client, environ: dict[str, str], project: str) -> None:
    for _ in range(3):
        client.create("x", project=project)
    done = headway("ps", "--project", project, "--limit", "2", environ=environ)
    assert len(done.stdout.splitlines()) == 3 and "there are more than 2" in done.stderr
    assert "more" not in headway("ps", "--project", project, "--limit", "3", environ=environ).stderr


def test_ps_shows_all_that_was_not_dismissed_however_much_was(start_exporter: Starter) -> None:
    exporter = start_exporter()
    client, environ = Client(exporter.url, exporter.key), {"HEADWAY_URL": exporter.url, "HEADWAY_KEY": exporter.key}
    ids = [client.create(f"nightly {number}")["id"] for number in range(8)]
    runs = client.create("service")["id"]
    for process_id in ids:
        client.update(process_id, status="failed", error="no")
    for process_id in ids[3:]:
        client.dismiss(process_id)

    def shown(*args: str) -> tuple[list[str], str]:
        done = headway("ps", *args, "--json", environ=environ)
        return [process["id"] for process in json.loads(done.stdout)], done.stderr

    assert shown("--limit", "4") == ([runs, *ids[2::-1]], ""), "five newer ones were dismissed"
    few, said = shown("--limit", "2")
    assert few == [runs, ids[2]] and "there are more than 2; --limit" in said
    assert "there are more than 2" in headway("ps", "--limit", "2", environ=environ).stderr
    while again := shown("--state", "undismissed", "--limit", "2")[0]:
        assert headway("dismiss", *again, environ=environ).returncode == 0
    assert shown() == ([runs], "") and len(shown("--state", "failed")[0]) == 8


def test_ps_on_a_terminal_says_in_one_line_what_failed_alike(client: Client, environ: dict[str, str], project: str) -> None:
    for number in range(12):
        made = client.create("probe", "cron", project=project)
        client.update(made["id"], status="failed", error="no route" if number else "disk full")

    def shown(*args: str) -> list[str]:
        with on_terminal("ps", "--project", project, *args, environ={**environ, "NO_COLOR": "1"}) as command:
            assert command.child.wait(30) == 0
            wait_until(lambda: "probe" in command.text, what="the table")
        return [line for line in map(clean, command.text.splitlines()) if line.strip()]

    head, newest, other, hint = shown("--limit", "2")
    assert "failed · 11 times" in newest and "no route" in newest and "disk full" in other and "times" not in other, head
    assert hint.endswith("headway ps --state undismissed lists each")
    assert "there are more than 1; --limit shows them" in shown("--limit", "1")[-1]
    for args in (["--state", "undismissed"], ["--name", "probe"]):
        assert len(shown(*args)) == 13, "who asks for them gets each"
    assert len(headway("ps", "--project", project, environ=environ).stdout.splitlines()) == 13, "and so do scripts"
    assert len(json.loads(headway("ps", "--project", project, "--json", environ=environ).stdout)) == 12


def test_ps_shows_what_was_killed_by_nobody_knows_whom(client: Client, environ: dict[str, str], project: str) -> None:
    done = headway("run", "--project", project, "--name", "Sig", "--", "sh", "-c", "kill -TERM $$", environ=environ)
    assert done.returncode == 143
    wait_until(lambda: [p["status"] for p in client.list(project=project, state="ended")] == ["killed"], what="its end")
    for args in ([], ["--state", "undismissed"], ["--state", "undismissed,done"]):
        lines = headway("ps", "--project", project, *args, environ=environ).stdout.splitlines()
        assert len(lines) == 2 and lines[1].startswith("killed") and "Sig" in lines[1], args


def test_ps_watch_redraws_waits_for_the_exporter_and_ends_with_ctrl_c(start_exporter: Starter) -> None:
    exporter = start_exporter()
    client = Client(exporter.url, exporter.key)
    made = client.create("watched", progress={"current": 1, "total": 4})
    with on_terminal("ps", "--watch", environ={"HEADWAY_URL": exporter.url}) as command:
        wait_until(lambda: "25%" in command.text, what="the first table")
        client.update(made["id"], progress={"current": 2})
        wait_until(lambda: "50%" in command.text, what="the redrawn table")
        exporter.kill()
        wait_until(lambda: "trying again" in command.text, what="the word that it is gone")
        exporter.start()
        seen = len(command.text)
        wait_until(lambda: "active," in command.text[seen:], what="the table after the restart")
        command.child.send_signal(signal.SIGINT)
        assert command.child.wait(30) == Exit.INTERRUPTED
    assert "Traceback" not in command.text and "\x1b[?25h" in command.text  # the cursor is back


def test_ps_watch_in_a_pipe(environ: dict[str, str], client: Client, project: str) -> None:
    client.create("watched", project=project)
    env = {**surroundings(), **environ}
    with subprocess.Popen([HEADWAY, "ps", "--watch", "--project", project], stdout=subprocess.PIPE, text=True, env=env) as child:
        assert child.stdout is not None
        heads = [line for line in (child.stdout.readline() for _ in range(5)) if line.startswith("STATUS")]
        assert len(heads) == 2
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == Exit.INTERRUPTED


# ── show, output, dismiss ───────────────────────────────────────────────────────────────────────────────────────────


def test_show_tells_everything(client: Client, environ: dict[str, str], project: str) -> None:
    made = client.create(
        "NLP Backfill",
        "pipeline",
        project=project,
        progress={"current": 1, "total": 4, "unit": "files"},
        command="run --password hunter2",
        expected_duration="5m",
        metadata={"model": "small", "tokens": {"input": 12}},
    )
    client.create("child\x1b[2J", parent_id=made["id"], project=project)
    client.update(made["id"], progress={"current": 3}, log=[f"line {n}" for n in range(20)], stage="fitting")
    client.update(made["id"], status="failed", error="ValueError: no such file", exit_code=3)
    done = headway("show", made["id"], "--tail", "2", environ=environ)
    assert done.returncode == 0 and done.stderr == ""
    lines = {" ".join(line.split()) for line in done.stdout.splitlines()}
    for expected in (
        "✗ NLP Backfill · pipeline · failed",
        made["id"],
        "progress 3/4 files · 75%",
        "stage fitting",
        "error ValueError: no such file",
        "ended with exit code 3",
        f"project {project}",
        "command run --password ***",
        "expected duration 5m",
        "stuck after 1m",
        "model small",
        "output (the last 2 of 20 lines)",
        "line 18",
        "line 19",
    ):
        assert expected in lines, f"{expected!r} is not in\n{done.stdout}"
    assert "line 17" not in lines and any(line.startswith("child · running") for line in lines)
    assert "history" in done.stdout and " failed " in done.stdout and "12 input tokens" in done.stdout
    assert "\x1b" not in done.stdout
    data = json.loads(headway("show", made["id"], "--json", environ=environ).stdout)
    assert data["exit_code"] == 3 and len(data["log_tail"]) == 20


def test_the_beginning_of_an_id_is_enough_if_only_one_has_it(client: Client, environ: dict[str, str]) -> None:
    mark = new_id().replace("-", "")[-10:]
    one, two = (client.create("x", id=f"{mark}-{end}-abcdefgh")["id"] for end in ("one", "two"))
    assert headway("show", f"{mark}-o", environ=environ).stdout.splitlines()[1].strip() == one
    both = headway("show", mark, environ=environ)
    assert both.returncode == Exit.NOT_FOUND and one in both.stderr and two in both.stderr and "Give more" in both.stderr
    for wrong in ("nothing-begins-so", "abc", "stats", "a/b", "ä"):
        done = headway("show", wrong, environ=environ)
        assert done.returncode == Exit.NOT_FOUND and "headway ps" in done.stderr and done.stderr.count("\n") == 1


def test_output(client: Client, environ: dict[str, str]) -> None:
    made = client.create("x")
    client.update(made["id"], log=["one", "two \x1b[31mred", "three"])
    assert headway("output", made["id"], environ=environ).stdout == "one\ntwo \x1b[31mred\nthree\n"
    assert headway("output", made["id"], "--tail", "1", environ=environ).stdout == "three\n"
    assert headway("output", made["id"], "--lines", "1", environ=environ).stdout == "three\n", "as of headway logs"
    assert headway("output", made["id"], "--tail", "0", environ=environ).stdout == ""
    assert headway("output", made["id"], "--tail", "-1", environ=environ).returncode == Exit.USAGE
    with on_terminal("output", made["id"], environ=environ) as command:
        assert command.child.wait(30) == 0
        wait_until(lambda: "three" in command.text, what="the output")
    assert "two red" in command.text and "\x1b" not in command.text


def test_since_is_a_moment_or_so_long_ago(client: Client, environ: dict[str, str], project: str) -> None:
    made = client.create("x", project=project)["id"]
    for since, there in (("1h", True), ("1m30s", True), ("0s", False), ("2026-01-31T08:00:00Z", True), ("4000000000", False)):
        done = headway("ps", "--project", project, "--since", since, environ=environ)
        assert done.returncode == 0 and (made in done.stdout) == there, since
    wrong = headway("ps", "--since", "yesterday", environ=environ)
    assert wrong.returncode == Exit.USAGE and "--since: expected so long ago (2h), a time (2026-" in wrong.stderr


def test_a_name_shows_its_newest_run_and_ends_nobody(client: Client, environ: dict[str, str], project: str) -> None:
    name = f"Sync photos {project}"
    client.update(client.create(name, "task")["id"], log="the old one", status="done")
    newest = client.create(name, "task")["id"]
    client.update(newest, log="the new one")
    assert headway("show", name, environ=environ).stdout.splitlines()[1].strip() == newest
    assert headway("output", name, environ=environ).stdout == "the new one\n"
    refused = headway("kill", name, "--yes", environ=environ)
    assert refused.returncode == Exit.NOT_FOUND
    assert refused.stderr.endswith(f"is a name and no id; its newest run is {newest}\n"), refused.stderr
    assert client.get(newest)["status"] == "running"
    client.update(newest, status="done")


@pytest.mark.parametrize("verb", ["output", "show"])
def test_following_goes_on_until_the_end(client: Client, environ: dict[str, str], verb: str) -> None:
    made = client.create("x")
    client.update(made["id"], log="before")
    env = {**surroundings(), **environ}
    with subprocess.Popen([HEADWAY, verb, made["id"], "--follow"], stdout=subprocess.PIPE, text=True, env=env) as child:
        assert child.stdout is not None
        read: list[str] = []
        while "before\n" not in read:
            read.append(child.stdout.readline())
        client.update(made["id"], log="after")
        assert child.stdout.readline() == "after\n"
        client.update(made["id"], status="done", log="last")
        assert child.stdout.readline() == "last\n"
        assert child.wait(30) == 0


def test_following_ends_quietly_when_the_reader_goes(client: Client, environ: dict[str, str]) -> None:
    made = client.create("x")
    client.update(made["id"], log=["one", "two"])
    env = {**surroundings(), **environ}
    child = subprocess.Popen(
        [HEADWAY, "output", "--follow", made["id"]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )
    assert child.stdout is not None and child.stdout.readline() == "one\n"
    child.stdout.close()
    child.stdout = None
    client.update(made["id"], log=["more"] * 100)
    _, said = child.communicate(timeout=30)
    assert (child.returncode, said) == (Exit.PIPE_CLOSED, "")


def test_cancel(client: Client, environ: dict[str, str]) -> None:
    made = client.create("long job")
    without = {name: value for name, value in environ.items() if name != "HEADWAY_KEY"}
    refused = headway("cancel", made["id"], environ={**without, "HEADWAY_DATA_DIR": "/nonexistent"})
    assert refused.returncode == 4 and "operator" in refused.stderr
    done = headway("cancel", made["id"], environ=environ)
    assert done.returncode == 0 and done.stdout == f"asked {made['id']} (long job, running) to end\n"
    assert client.update(made["id"], progress={"current": 1})["cancel_requested"] is True
    client.update(made["id"], status="cancelled")
    assert headway("cancel", made["id"], environ=environ).returncode == 1


def test_dismiss(client: Client, environ: dict[str, str]) -> None:
    one, two = (client.create("x")["id"] for _ in range(2))
    client.update(one, status="failed", error="no")
    refused = headway("dismiss", two, environ=environ)
    assert refused.returncode == 1 and "running" in refused.stderr
    client.update(two, status="failed", error="no")
    done = headway("dismiss", one, two, environ=environ)
    assert done.returncode == 0 and done.stdout.splitlines() == [f"dismissed {one} (x, failed)", f"dismissed {two} (x, failed)"]
    assert client.get(one)["dismissed_at"] is not None


def test_dismiss_all_that_ended_badly(start_exporter: Starter) -> None:
    exporter = start_exporter()
    client, environ = Client(exporter.url, exporter.key), {"HEADWAY_URL": exporter.url, "HEADWAY_KEY": exporter.key}
    one, two, runs, good = (client.create(name)["id"] for name in ("one", "two", "runs", "good"))
    client.update(one, status="failed", error="no")
    client.update(two, status="timed_out")
    client.update(good, status="done")
    for args in (["dismiss"], ["dismiss", "--all-ended", one], ["dismiss", "--name", "one", one]):
        done = headway(*args, environ=environ)
        assert done.returncode == Exit.USAGE and "--all-ended" in done.stderr
    done = headway("dismiss", "--all-ended", environ=environ)
    assert done.returncode == Exit.USAGE and "--yes" in done.stderr and client.get(one)["dismissed_at"] is None
    for answer, code in (("n", Exit.FAILED), ("y", Exit.OK)):
        with on_terminal("dismiss", "--all-ended", environ=environ) as command:
            wait_until(lambda: "dismiss these 2? [y/N]" in command.text, timeout=30, what="the question")
            assert one in command.text and two in command.text and runs not in command.text and good not in command.text
            command.type(answer + "\n")
            assert command.child.wait(30) == code
        assert all((client.get(each)["dismissed_at"] is not None) == (answer == "y") for each in (one, two))
    assert client.get(good)["dismissed_at"] is None
    assert headway("dismiss", "--all-ended", environ=environ).stdout == "nothing to dismiss\n"
    client.update(runs, status="failed")
    done = headway("dismiss", "--all-ended", "--yes", environ=environ)
    assert done.returncode == 0 and done.stdout == f"dismissed {runs} (runs, failed)\n"


def test_dismiss_all_of_one_name(client: Client, environ: dict[str, str]) -> None:
    ids = {name: client.create(name)["id"] for name in ("Fetch rates", "Fetch rates twice", "fetch rates", "Fetch")}
    for each in ids.values():
        client.update(each, status="failed", error="no")
    done = headway("dismiss", "--name", "Fetch rates", environ=environ)
    assert done.returncode == Exit.USAGE and "--yes" in done.stderr
    with on_terminal("dismiss", "--name", "Fetch rates", environ=environ) as command:
        wait_until(lambda: "dismiss this one? [y/N]" in command.text, timeout=30, what="the question")
        assert ids["Fetch rates"] in command.text and ids["Fetch rates twice"] not in command.text
        command.type("n\n")
        assert command.child.wait(30) == Exit.FAILED
    done = headway("dismiss", "--name", "Fetch rates", "--yes", environ=environ)
    assert (done.returncode, done.stdout) == (0, f"dismissed {ids['Fetch rates']} (Fetch rates, failed)\n")
    assert [name for name, each in ids.items() if client.get(each)["dismissed_at"] is not None] == ["Fetch rates"]
    assert "nothing to dismiss of the name Fetch rates" in headway("dismiss", "--name", "Fetch rates", environ=environ).stdout
    assert headway("dismiss", "--name", "", "--yes", environ=environ).returncode == Exit.USAGE


# ── address, key, trouble ───────────────────────────────────────────────────────────────────────────────────────────


def test_an_exporter_that_is_not_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        for args in (["ps"], ["ps", "--watch"], ["show", "x"], ["output", "x"], ["dismiss", "x"]):
            done = headway(*args, HEADWAY_URL=url)
            assert done.returncode == Exit.UNREACHABLE and done.stdout == ""
            assert done.stderr.startswith(f"headway: the exporter at {url} cannot be reached: ") and "headway serve" in done.stderr
            assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("url", ["", "nonsense://x", "http://", "http://a b", "off"])
def test_an_address_that_is_none(url: str) -> None:
    done = headway("ps", "--url", url or "http://127.0.0.1:0")
    assert done.returncode == Exit.UNREACHABLE and done.stderr.count("\n") == 1 and "--url" in done.stderr


@pytest.fixture
def foreign() -> Iterator[str]:
    """The address of a web server that is no exporter."""

    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<h1>hello</h1>")

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_something_else_that_answers(foreign: str) -> None:
    for args in (["ps"], ["show", "abcd"]):
        done = headway(*args, HEADWAY_URL=foreign)
        assert done.returncode == Exit.UNREACHABLE and done.stderr.count("\n") == 1
        assert f"what answers at {foreign} is no Headway exporter" in done.stderr


def test_something_else_that_knows_no_such_path() -> None:
    class NotFound(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), NotFound) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        try:
            for url in (f"http://{address}", f"http://{address}/prometheus"):
                done = headway("ps", HEADWAY_URL=url)
                assert done.returncode == Exit.UNREACHABLE and f"what answers at {url} is no Headway exporter" in done.stderr
            done = headway("ps", HEADWAY_URL=f"https://{address}")
            assert done.returncode == Exit.UNREACHABLE and done.stderr == (
                f"headway: the exporter at https://{address} cannot be reached: what listens there does not speak TLS. "
                "Give its address with http:// in --url or HEADWAY_URL\n"
            )
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("off", "headway: HEADWAY_URL is off, so no exporter is asked: unset it"),
        ("ftp://x.example", "headway: ftp://x.example is no"),
    ],
)
def test_an_address_that_nobody_can_have(url: str, said: str) -> None:
    done = headway("ps", HEADWAY_URL=url)
    assert done.returncode == Exit.UNREACHABLE and done.stderr.startswith(said) and "serve" not in done.stderr


def test_config_of_the_exporter_that_runs(start_exporter: Starter, tmp_path: Path) -> None:
    file = tmp_path / "its.yaml"
    file.write_text("lease: 7m\nservices: {one: {command: 'sleep --token hunter2', autostart: false}}\n")
    exporter = start_exporter("--config", str(file), HEADWAY_STUCK_AFTER="95s")
    # What stands in the environment here is not what that one was started with.
    known = {"HEADWAY_URL": exporter.url, "HEADWAY_KEY": exporter.key, "HEADWAY_STUCK_AFTER": "5m"}
    done = headway("config", "--running", "--json", environ=known)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["lease"] == {"value": "7m", "source": f"file {file}:1"}
    assert found["stuck_after"] == {"value": "1m 35s", "source": "environment HEADWAY_STUCK_AFTER"}
    assert found["data_dir"] == {"value": str(exporter.data_dir), "source": "flag --data-dir"}
    assert "services.one" in found and "hunter2" not in done.stdout
    assert found == Client(exporter.url, exporter.key).settings()
    assert "95s" not in headway("config", environ=known).stdout, "without the flag: what would be started here"
    refused = headway("config", "--running", environ={"HEADWAY_URL": exporter.url, "HEADWAY_DATA_DIR": str(tmp_path)})
    assert refused.returncode == Exit.REFUSED and "role operator" in refused.stderr
    made = ("key", "create", "--name", "anns", "--role", "operator", "--user", "ann", "--data-dir", str(exporter.data_dir))
    anns = headway(*made).stdout.strip()
    assert headway("config", "--running", environ={**known, "HEADWAY_KEY": anns}).returncode == Exit.REFUSED
    mixed = headway("config", "--running", "--lease", "3m", environ=known)
    assert mixed.returncode == Exit.USAGE and "leave the settings out" in mixed.stderr


def test_tables_fit_the_terminal(shared_exporter: RunningExporter, environ: dict[str, str]) -> None:
    name = f"A name that is rather long for a table of so many columns {new_id()[-6:]}"
    project = new_id()
    with Client(shared_exporter.url, shared_exporter.key) as client:
        for number in range(6):
            made = client.create(name, project=project, expected_duration=1)
            error = {"status": "failed", "error": f"OSError: no space left on the device that holds {'the archive ' * 6}"}
            client.update(made["id"], **(error if number % 2 else {"status": "done", "summary": "fine"}))
        silent = client.create(
            name, project=project, thresholds={"stuck_after": 1}, command=f"sync {'--all ' * 20}", expected_duration=1
        )
        client.update(silent["id"], status="running", log="so far")
        wait_until(lambda: client.get(silent["id"])["conditions"], 30, "it is stuck")
    for args, words in (
        (("analyze", "--project", project), "stuck"),
        (("trends", "--project", project, "--source", "store"), "ended"),
        (("suggest", name), "good runs"),
        (("show", silent["id"]), "conditions"),
    ):
        with on_terminal(*args, environ=environ, width=80) as command:
            assert command.child.wait(60) == 0
        lines = re.sub(r"\x1b\[[0-9;]*m", "", command.text).splitlines()
        assert any(words in line for line in lines), command.text
        # What is to be copied stays whole, and so does the name in a heading.
        long = [line for line in lines if len(line) > 80 and "headway " not in line and name not in line]
        assert long == [], args[0]
        # Into a pipe nothing is cut.
        assert args[0] != "analyze" or silent["id"] in headway(*args, environ=environ).stdout


def test_refusals(start_exporter: Starter, tmp_path: Path) -> None:
    exporter = start_exporter("--anonymous", "none")
    # A data directory without a key: the local admin key must not help here.
    nowhere = {"HEADWAY_URL": exporter.url, "HEADWAY_DATA_DIR": str(tmp_path)}
    for more in ({}, {"HEADWAY_KEY": "hw_wrong"}):
        done = headway("ps", environ={**nowhere, **more})
        assert done.returncode == Exit.REFUSED and "--key-file" in done.stderr and done.stderr.count("\n") == 1
    viewer = tmp_path / "viewer.key"
    headway("key", "create", "--name", "v", "--role", "viewer", "--out", str(viewer), "--data-dir", str(exporter.data_dir))
    assert headway("ps", "--key-file", str(viewer), environ=nowhere).returncode == 0
    assert headway("ps", environ={**nowhere, "HEADWAY_KEY_FILE": str(viewer)}).returncode == 0
    made = Client(exporter.url, exporter.key).create("x")
    done = headway("dismiss", made["id"], "--key-file", str(viewer), environ=nowhere)
    assert done.returncode == Exit.REFUSED and "this call needs the role" in done.stderr
    assert "--key-file or HEADWAY_KEY on the command line" in done.stderr
    for flags in (["--key-file", "/none"], []):
        done = headway("ps", *flags, environ={**nowhere, "HEADWAY_KEY_FILE": "/none"})
        assert done.returncode == Exit.USAGE and "cannot read the key file /none" in done.stderr


def test_a_wrong_filter_is_a_mistake_of_the_caller(environ: dict[str, str]) -> None:
    for flags in ("--type nonsense", "--state runing", "--since yesterday", "--limit 0", "--all --state failed"):
        done = headway("ps", *flags.split(), environ=environ)
        assert done.returncode == Exit.USAGE and done.stderr.count("\n") == 1, flags
    assert "running" in headway("ps", "--state", "runing", environ=environ).stderr


def test_the_admin_key_of_this_machine_is_found(start_exporter: Starter) -> None:
    exporter = start_exporter("--anonymous", "none")
    done = headway("ps", HEADWAY_URL=exporter.url, HEADWAY_DATA_DIR=str(exporter.data_dir))
    assert done.returncode == 0


def test_the_admin_key_goes_only_to_an_exporter_of_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrap(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        assert listening_uids(port) == {os.geteuid()}
        assert local_admin_key(url, tmp_path) is not None
        assert local_admin_key(f"http://headway.example:{port}", tmp_path) is None
        assert local_admin_key(url, tmp_path / "none") is None
        monkeypatch.setattr("headway.cli.connection.listening_uids", lambda port: {12345})
        assert local_admin_key(url, tmp_path) is None
    monkeypatch.undo()
    assert local_admin_key(url, tmp_path) is None  # nobody listens


def test_who_listens_is_read_from_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    line = "   0: 0100007F:37F3 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1\n"
    connected = line.replace(" 0A ", " 01 ").replace("1000", "2000")
    (tmp_path / "net" / "tcp").write_text(head + line + connected)
    assert listening_uids(0x37F3, tmp_path) == {1000}
    assert listening_uids(80, tmp_path) == set()
    assert listening_uids(80, tmp_path / "none") == set()
