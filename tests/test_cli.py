"""The command line without an exporter: help, mistakes, configuration, keys, completion."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli import HEADWAY, headway, on_terminal
from headway.cli import main
from headway.cli.document import commands_of, document
from headway.cli.exits import Exit
from headway.cli.main import build_parser
from headway.cli.text import clean, columns
from headway.datadir import read_key
from headway.extras import clone_of
from headway.keys import FIRST_START, KeyRing, Role, bootstrap
from headway.settings import SETTINGS
from headway.version import VERSION
from waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = [name for name, _ in commands_of(build_parser())]


# ── help and mistakes ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_documentation_is_current() -> None:
    expected = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert expected == document(), "run: python -m headway.cli.document > docs/cli.md"


def test_help_names_every_command_and_exit_code() -> None:
    done = headway("--help")
    assert done.returncode == 0 and done.stderr == ""
    for command in COMMANDS:
        assert re.search(rf"\n    {command}\s", done.stdout)
    for code in Exit:
        assert f"\n  {code.value:<4} {code.meaning}" in done.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_output_changes_nothing(closed: str, tmp_path: Path) -> None:
    script = f'"$@" run --no-log-file -- sh -c "echo x; exit 7" {closed}; echo $? > code; "$@" version {closed}; echo $? >> code'
    environ = {**os.environ, "HEADWAY_URL": "off"}
    subprocess.run(["sh", "-c", script, "sh", HEADWAY], cwd=tmp_path, env=environ, capture_output=True, timeout=60, check=True)
    assert (tmp_path / "code").read_text().split() == ["7", "0"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    done = headway(command, "--help")
    assert done.returncode == 0 and done.stdout.startswith(f"usage: headway {command}")


def test_version() -> None:
    for args in (["version"], ["--version"]):
        done = headway(*args)
        assert done.returncode == 0 and done.stdout.startswith(f"headway {VERSION} (Python 3.")


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "headway", "version"], capture_output=True, text=True, check=True)
    assert done.stdout == headway("version").stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["serv"], "headway: unknown command serv: did you mean serve?; see headway --help"),
        (["ls"], "headway: unknown command ls: did you mean ps?; see headway --help"),
        (["services"], "headway: unknown command services: did you mean status?; see headway --help"),
        (["stop", "web"], "headway: unknown command stop: did you mean down?; see headway --help"),
        (["zzz"], "headway: unknown command zzz: there are serve, "),
        (["serve", "--stuck-aftr=5"], "headway serve: unknown argument --stuck-aftr: did you mean --stuck-after?"),
        (["serve", "--stuck", "5"], "headway serve: unknown argument --stuck"),
        (
            ["output", "x", "--tial", "3"],
            "headway output: unknown argument --tial: did you mean --tail?; see headway output --help",
        ),
        (["ps", "--tail", "3"], "headway ps: unknown argument --tail; see headway ps --help"),
        (["logs", "x", "--line", "3"], "headway logs: unknown argument --line: did you mean --lines?"),
        (
            ["report", "create", "--nmae", "x"],
            "headway report create: unknown argument --nmae: did you mean --name?; the following",
        ),
        (["version", "more"], "headway version: unknown argument more; see headway version --help"),
        (["key"], "headway key: the following arguments are required: COMMAND; see headway key --help"),
        (["key", "create", "--name", "x"], "headway key create: the following arguments are required: --role"),
        (["key", "create", "--name", "x", "--role", "god"], "headway key create: unknown --role god: there are viewer, reporter,"),
        (["completion", "fish"], "headway completion: unknown shell fish: there are bash, zsh, tcsh"),
        (
            ["serve", "--stuck-after", "soon"],
            "headway: stuck_after: 'soon' (flag --stuck-after) cannot be used; accepted: a duration",
        ),
        (["cleanup", "--older-than", "abc"], "headway cleanup: argument --older-than: 'abc' is not a duration: expected seconds"),
        (["up", "--wait", "soon"], "headway up: argument --wait: 'soon' is not a duration: expected seconds"),
        (["kill", "x", "--grace", "5m"], "headway kill: argument --grace: '5m' is longer than the 60s that a kill waits"),
        (["kill", "--pid", "me"], "headway kill: argument --pid: 'me' is not the id of an OS process"),
        (["ps", "--limit", "abc"], "headway ps: argument --limit: 'abc' is not a whole number from 1 to "),
        (
            ["output", "x", "--tail", "-4"],
            "headway output: argument --tail/--lines/-n: '-4' is not a whole number from 0 to 100000",
        ),
        (["logs", "x", "-n", "many"], "headway logs: argument --lines/--tail/-n: 'many' is not a whole number from 0 to 100"),
        (["config", "--config", "/none.yaml"], "headway: there is no configuration file /none.yaml"),
    ],
)
def test_a_mistake_is_one_sentence_and_code_2(args: list[str], said: str) -> None:
    done = headway(*args)
    assert done.returncode == 2
    assert done.stderr.startswith(said), done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""


def test_no_command_is_a_mistake_that_shows_the_help() -> None:
    done = headway()
    assert done.returncode == 2 and "examples:" in done.stderr and done.stdout == ""


def test_a_closed_pipe_is_quiet() -> None:
    child = subprocess.Popen([HEADWAY, "completion", "bash"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.close()
    _, said = child.communicate(timeout=30)
    assert (child.returncode, said) == (Exit.PIPE_CLOSED, "")


def test_an_error_inside_is_one_sentence_unless_asked_for_more(tmp_path: Path) -> None:
    broken = "import sys, headway.cli.version as v\nv.run = lambda args: 1 / 0\n"
    broken += "from headway.cli.main import main\nsys.exit(main(['version']))"
    plain = subprocess.run([sys.executable, "-c", broken], capture_output=True, text=True)
    assert plain.returncode == 1 and plain.stderr.count("\n") == 1 and "HEADWAY_DEBUG=1" in plain.stderr
    debug = subprocess.run([sys.executable, "-c", broken], capture_output=True, text=True, env={**os.environ, "HEADWAY_DEBUG": "1"})
    assert "Traceback" in debug.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_commands_and_flags(shell: str) -> None:
    done = headway("completion", shell)
    assert done.returncode == 0 and done.stderr == ""
    for word in ("serve", "stuck-after", "if-absent"):
        assert word in done.stdout


def test_completion_in_a_real_bash() -> None:
    script = headway("completion", "bash").stdout
    ask = f'{script}\nCOMP_WORDS=(headway key cr); COMP_CWORD=2; _shtab_headway; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "--norc", "-c", ask], capture_output=True, text=True, timeout=30)
    assert done.stdout.split() == ["create"], done.stderr


# ── configuration ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_config_says_what_holds_and_why(tmp_path: Path) -> None:
    file = tmp_path / "headway.yaml"
    file.write_text(
        "lease: 2m\nthresholds:\n  name:\n    x*: {stuck_after: null}\nprometheus_url: http://u:hunter2@p:9090\n"
        "services:\n  web: {command: [serve, --token, hunter2], port: 81, env: {KEY: hunter2}, depends_on: [db]}\n"
        "  db: {command: sleep 9, autostart: false}\n  nightly: {command: backup --all, schedule: 0 3 * * *, group: ops}\n"
        "prices:\n  small-*: {input: 0.25, output: 2}\n"
    )
    args = ("config", "--config", str(file), "--stuck-after", "90")
    done = headway(*args, HEADWAY_LISTEN="127.0.0.1:1")
    assert done.returncode == 0
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    found = {line[0]: line[1:] for line in lines}
    assert found["stuck_after"] == ["1m 30s", "flag --stuck-after"] or found["stuck_after"][0] == "1m"
    assert found["lease"] == ["2m", f"file {file}:1"]
    assert found["listen"] == ["127.0.0.1:1", "environment HEADWAY_LISTEN"]
    assert found["external_url"] == ["http://127.0.0.1:1", "default"]
    assert found["prometheus_url"][0] == "http://u:***@p:9090"
    assert found["thresholds.type.daemon.stuck_after"] == ["null", "default"]
    assert found["thresholds.name.x*.stuck_after"] == ["null", f"file {file}:2"]
    assert found["prices.small-*"][0] == "input" and found["prices.small-*"][1].startswith("0.25, output 2  ")
    assert found["prices.small-*"][1].endswith(f"file {file}:11")
    assert found["services.web"] == ["serve", f"--token ***; port 81; after db; restart on-failure  file {file}:7"]
    assert "sleep 9; restart on-failure; not started by itself" in done.stdout
    assert "backup --all; schedule 0 3 * * *; group ops" in done.stdout and "hunter2" not in done.stdout
    data = json.loads(headway(*args, "--json", HEADWAY_LISTEN="127.0.0.1:1").stdout)
    assert set(SETTINGS) <= set(data)
    assert data["stuck_after"] == {"value": "1m 30s", "source": "flag --stuck-after"}
    assert json.loads(headway("config", "--json", HEADWAY_CONFIG=str(file)).stdout)["lease"]["value"] == "2m"


def test_config_fits_a_terminal_whatever_is_configured(tmp_path: Path) -> None:
    file = tmp_path / "headway.yaml"
    command = " ".join(f"--option-{number} value" for number in range(12))
    file.write_text(f"services:\n  web: {{command: serve {command}}}\n  db: {{command: sleep 9}}\n")
    with on_terminal("config", "--config", str(file), environ={}, width=100) as shown:
        assert shown.child.wait(30) == 0
        wait_until(lambda: "headway.yaml:3" in shown.text, what="the last line")
    found = [line.rstrip() for line in shown.text.splitlines()]
    assert max(len(line) for line in found if str(tmp_path) not in line) <= 100
    assert "--option-11 value" in shown.text
    piped = headway("config", "--config", str(file)).stdout.splitlines()
    assert max(len(line) for line in piped if "services." not in line) <= 100, "one long value does not pad all others"
    assert any(line.endswith("headway.yaml:2") and "option-11" in line for line in piped), "a line for each, to be searched"


def test_each_command_is_found_by_its_word_alone() -> None:
    every = build_parser()
    subparsers = next(action for action in every._actions if isinstance(action, argparse._SubParsersAction))
    assert [word for words in main.COMMANDS.values() for word in words] == list(subparsers.choices)
    for word in subparsers.choices:
        alone = next(action for action in build_parser(word)._actions if isinstance(action, argparse._SubParsersAction))
        assert alone.choices[word].format_help() == subparsers.choices[word].format_help()


# ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_is_printed_once_and_works(tmp_path: Path) -> None:
    where = ("--data-dir", str(tmp_path / "data"))
    made = headway("key", "create", "--name", "ci", "--role", "reporter", "--user", "ada", *where)
    assert made.returncode == 0
    key = KeyRing(tmp_path / "data").find(made.stdout.strip())
    assert key is not None and (key.name, key.role, key.user) == ("ci", Role.REPORTER, "ada")
    assert made.stdout.strip() not in made.stderr
    assert "from now on reports need one too" in made.stderr
    assert f"no exporter has run with the data directory {tmp_path / 'data'} yet" in made.stderr
    second = headway("key", "create", "--name", "cd", "--role", "reporter", *where)
    assert second.returncode == 0 and "from now on" not in second.stderr and "no exporter has run" not in second.stderr
    assert "last key" not in headway("key", "revoke", "cd", *where).stderr
    listed = headway("key", "list", *where)
    assert listed.stdout.splitlines()[1].split()[:4] == [key.id, "ci", "reporter", "ada"]
    (row,) = json.loads(headway("key", "list", "--json", *where).stdout)
    assert (row["id"], row["role"]) == (key.id, "reporter") and "hash" not in row
    again = headway("key", "create", "--name", "ci", "--role", "reporter", *where)
    assert again.returncode == 1 and again.stdout == "" and "already" in again.stderr
    last = headway("key", "revoke", "ci", *where)
    assert last.returncode == 0 and "everybody on this machine reports without one again" in last.stderr
    assert KeyRing(tmp_path / "data").find(made.stdout.strip()) is None
    gone = headway("key", "revoke", key.id, *where)
    assert gone.returncode == Exit.NOT_FOUND and "headway key list" in gone.stderr


def test_a_key_in_a_file(tmp_path: Path) -> None:
    out = tmp_path / "ci.key"
    create = (
        "key",
        "create",
        "--name",
        "ci",
        "--role",
        "viewer",
        "--out",
        str(out),
        "--if-absent",
        "--data-dir",
        str(tmp_path / "d"),
    )
    first = headway(*create)
    text = read_key(out)
    assert text is not None and first.returncode == 0 and first.stdout == "" and text not in first.stderr
    assert out.stat().st_mode & 0o777 == 0o600
    second = headway(*create)
    assert second.returncode == 0 and "there already" in second.stderr and read_key(out) == text
    assert len(KeyRing(tmp_path / "d").list()) == 1
    other_role = headway(*create, "--role", "admin")
    assert other_role.returncode == 1 and "exists with role viewer" in other_role.stderr
    out.write_text("something else\n")
    lost = headway(*create)
    assert lost.returncode == 1 and "does not hold it" in lost.stderr and out.read_text() == "something else\n"


def test_a_key_file_that_cannot_be_written_leaves_no_key(tmp_path: Path) -> None:
    where = ("--data-dir", str(tmp_path / "d"))
    done = headway("key", "create", "--name", "ci", "--role", "viewer", "--out", str(tmp_path / "none" / "x"), *where)
    assert done.returncode == 1 and "there is no directory" in done.stderr
    (tmp_path / "dir").mkdir()
    done = headway("key", "create", "--name", "ci", "--role", "viewer", "--out", str(tmp_path / "dir"), *where)
    assert done.returncode == 1 and "cannot write" in done.stderr
    assert KeyRing(tmp_path / "d").list() == []


def test_keys_of_a_damaged_file_are_left_alone(tmp_path: Path) -> None:
    bootstrap(tmp_path)
    (tmp_path / "keys.json").write_text("broken")
    for verb in (["list"], ["revoke", "x"], ["create", "--name", "x", "--role", "admin"]):
        done = headway("key", *verb, "--data-dir", str(tmp_path))
        assert done.returncode == 1 and "cannot be used" in done.stderr and done.stderr.count("\n") == 1
    assert (tmp_path / "keys.json").read_text() == "broken"


def test_no_keys_yet(tmp_path: Path) -> None:
    done = headway("key", "list", "--data-dir", str(tmp_path))
    assert done.returncode == 0 and done.stdout == "" and "headway key create" in done.stderr
    assert headway("key", "list", "--json", "--data-dir", str(tmp_path)).stdout == "[]\n"


# ── serve ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("/proc/none", "it cannot be made: No such file or directory"),
        (__file__, "it is not a directory"),
        (f"{__file__}/below", "it cannot be made: Not a directory"),
    ],
)
def test_a_data_directory_that_cannot_be_made_is_said(folder: str, why: str) -> None:
    done = headway("serve", "--listen", "127.0.0.1:0", "--data-dir", folder)
    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert done.stderr.startswith(f"headway: the data directory {folder} cannot be used: {why}; make it, ")
    assert "--data-dir or HEADWAY_DATA_DIR" in done.stderr and done.stderr.count("\n") == 1


def test_serve_runs_until_told_to_stop(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as file:
        child = subprocess.Popen(
            [HEADWAY, "serve", "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "d")], stdout=file, stderr=file
        )
    try:
        wait_until(lambda: "headway is ready at http://127.0.0.1:" in log.read_text(), what="the line that it is ready")
        assert KeyRing(tmp_path / "d").list()[0].name == FIRST_START
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0, log.read_text()
    finally:
        child.kill()
        child.wait()


def test_serve_without_the_exporter_installed_says_so(tmp_path: Path) -> None:
    clone = Path(__file__).parents[1]
    (tmp_path / "c.yaml").write_text("listen: 127.0.0.1:0\n")
    for module, extra, args in (
        ("uvicorn", "exporter", ["serve"]),
        ("yaml", "exporter", ["serve", "--config", str(tmp_path / "c.yaml")]),
        ("shtab", "cli", ["completion", "bash"]),
        ("yaml", "exporter", ["alerting", "render", "--for", "0.28", "--base", str(clone / "alerting/alertmanager.yml")]),
    ):
        code = f"import sys\nsys.modules['{module}'] = None\nfrom headway.cli.main import main\nsys.exit(main({args}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
        fix = f"pip install -e '{clone}[{extra}]', or make up in {clone}, which has an environment of its own\n"
        assert done.returncode != 0 and done.stderr.endswith(f": {fix}") and done.stderr.count("\n") == 1, done.stderr


def test_where_the_package_came_from_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "site" / "headway" / "extras.py"
    clone = tmp_path / "a clone"
    info = tmp_path / "site" / "headway-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: headway\nVersion: 1\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    assert clone_of(installed) is None, "nobody knows"
    (info / "direct_url.json").write_text(json.dumps({"url": clone.as_uri(), "dir_info": {}}))
    assert clone_of(installed) is None, "it is gone"
    (clone / "exporter" / "headway").mkdir(parents=True)
    (clone / "pyproject.toml").write_text("")
    assert clone_of(installed) == clone == clone_of(clone / "exporter" / "headway" / "extras.py")


# ── text ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_others_wrote_cannot_steer_the_terminal() -> None:
    assert clean("\x1b[31mred\x1b[0m \x1b]0;title\x07x\x1b[2J") == "red x"
    assert clean("a\nb\rc\x9b5d\u202ee\x00f\tg") == "a b c 5d e f\tg"
    assert clean("✓ é 漢字 🚀") == "✓ é 漢字 🚀"


def test_columns() -> None:
    assert columns(("A", "BB"), [("xx", ""), ("\x1by", "z")]) == "A   BB\nxx\n y  z"
