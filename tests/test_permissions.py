"""A permission that was given without a word: the command that an agent asked to run runs."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headway import Client
from headway.hook import events
from headway.permissions.commands import SLACK, Asked, Command, answered, since
from headway.permissions.looking import Permissions
from headway.schemas.reports import CurrentIn, ProgressItem
from registry_world import START, World, in_loop
from running import Starter
from test_hook import call
from waiting import wait_until

T = 1000.0


@pytest.mark.parametrize(
    ("asked", "words", "told"),
    [
        ("make test", ["make", "test"], True),
        ("make test", ["bash", "-lc", "make test"], True),
        ("make test", ["/bin/bash", "-c", "shopt -u extglob; eval 'make test' \\< /dev/null && pwd -P >| /tmp/cwd"], True),
        ("echo 'a  b'\n&& make", ["sh", "-c", "eval 'echo '\\''a  b'\\''\n&& make'"], True),
        ('git commit -m "it\'s"', ["bash", "-c", 'git commit -m "it\'s"'], True),
        ("make tes", ["make", "test"], False),
        ("ake test", ["make", "test"], False),
        ("make test", ["make", "tests"], False),
        ("make test", ["make", "-j2", "test"], False),
        ("ls", ["ls"], False),
        ("make very l…", ["make", "very", "long"], True),
        ("curl -H 'Authorization: Bearer ***' api", ["curl", "-H", "Authorization: Bearer sk-ant-aaaaaaaaaaaaaaaa", "api"], True),
    ],
)
def test_what_was_asked_for_is_found_however_a_shell_was_given_it(asked: str, words: list[str], told: bool) -> None:
    assert answered(Asked(asked, "/srv/shop", T), [Command(words, "/srv/shop", T + 5)]) is told


@pytest.mark.parametrize(
    ("folder", "began", "told"),
    [
        ("/srv/shop", T, True),
        ("/srv/shop/part", T, True),
        ("/srv/shop-2", T, False),
        ("/srv", T, False),
        ("/srv/shop", T - SLACK - 0.1, False),
    ],
)
def test_only_there_and_since_it_was_asked(folder: str, began: float, told: bool) -> None:
    assert answered(Asked("make test", "/srv/shop", T), [Command(["make", "test"], folder, began)]) is told


def test_what_a_hook_says_of_the_command() -> None:
    def asked(tool_input: object) -> Any:
        event = {"session_id": "s", "hook_event_name": "PermissionRequest", "tool_name": "Bash", "tool_input": tool_input}
        return events.items("claude-code", event)[0]["metadata"]["asked"]

    assert asked({"command": "make \n test"}) == "make test"
    assert asked({"command": ["make", "test"]}) == "make test"
    assert asked({"command": "curl -H 'Authorization: Bearer sk-ant-aaaaaaaaaaaaaaaa'"}) == "curl -H 'Authorization: Bearer ***'"
    assert asked({"command": "x" * 900}) == "x" * 299 + "…"
    assert [asked(given) for given in ({"file_path": "a"}, {"command": " "}, {"command": 7}, {"command": [7]}, None)] == [None] * 5


def test_gemini_cli_says_it_with_the_question() -> None:
    details = {"type": "exec", "title": "Confirm Shell Command", "command": "npm run build", "rootCommand": "npm"}
    event = {"session_id": "s", "hook_event_name": "Notification", "notification_type": "ToolPermission", "details": details}
    (item,) = events.items("gemini", event)
    assert (item["waiting_for"], item["metadata"]["asked"]) == ("permission to run npm", "npm run build")
    (item,) = events.items("gemini", {**event, "details": {"type": "edit", "fileName": "a.py"}})
    assert (item["waiting_for"], item["metadata"]["asked"]) == ("permission to change a.py", None)
    (item,) = events.items(
        "claude-code", {**event, "notification_type": "permission_prompt", "message": "Claude needs your approval"}
    )
    assert "asked" not in item.get("metadata", {}), "what a request for a permission said of it stands"


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Any]:
    """Starts a command as an agent does, in a folder below."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(command: str) -> None:
        (tmp_path / "below").mkdir(exist_ok=True)
        line = f"eval {shlex.quote(command)} < /dev/null && pwd -P > /dev/null"
        started.append(subprocess.Popen(["bash", "-c", line], cwd=tmp_path / "below", start_new_session=True))

    yield begin
    for one in started:
        os.killpg(one.pid, signal.SIGKILL)
        one.wait(30)


def test_real_ones_that_began_since_are_seen(sleeper: Any, tmp_path: Path) -> None:
    before = time.time()
    sleeper("sleep 61.25")
    asked = Asked("sleep 61.25", str(tmp_path), before)
    wait_until(lambda: answered(asked, since(before - SLACK)), 30, "the command")
    later = time.time() + 3
    assert not answered(Asked("sleep 61.25", str(tmp_path), later), since(later - SLACK))


@in_loop
async def test_nothing_is_read_where_nobody_asked_to_run_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    def read(earliest: float) -> Iterator[Command]:
        raise AssertionError(earliest)

    monkeypatch.setattr("headway.permissions.looking.since", read)
    for process_id, fields in (
        ("works", {"asked": "make test"}),
        ("asks", {}),
        ("question", {"asked": "make test"}),
        ("else", {"asked": "make test"}),
    ):
        world.create(id=process_id, cwd="/srv", metadata=fields, host="elsewhere" if process_id == "else" else "here")
    world.update("asks", waiting_for="permission to use Edit")
    world.update("question", waiting_for="an answer to its question")
    world.update("else", waiting_for="permission to use Bash")
    await Permissions(world.registry).look()


@in_loop
async def test_no_record_is_made_of_progress_for_it() -> None:
    world = World()
    world.create(id="a", progress={"current": 0, "total": 9})
    world.clock.now += 1
    world.update("a", progress={"current": 1})
    entry = world.registry.entries["a"]
    item = ProgressItem(id="a", progress=CurrentIn(current=2.0))
    assert world.registry.advance(iter([(0, item, entry)]), world.clock.now + 1) is None and entry.told is not None
    await Permissions(world.registry).look()
    assert entry.told is not None


@in_loop
async def test_who_asks_for_something_else_meanwhile_still_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    def read(earliest: float) -> Iterator[Command]:
        assert earliest == START - SLACK
        world.update("again", waiting_for="permission to use Edit")
        return iter([Command(["make", "test"], "/srv", START)])

    monkeypatch.setattr("headway.permissions.looking.since", read)
    for process_id in ("again", "runs"):
        world.create(id=process_id, cwd="/srv", metadata={"asked": "make test"}, host="here")
        world.update(process_id, waiting_for="permission to use Bash", stage="waiting for the user")
    await Permissions(world.registry).look()
    runs, again = (world.registry.entries[one].process for one in ("runs", "again"))
    assert runs.waiting is None and runs.activity.stage == "Bash"
    assert again.waiting is not None and again.activity.stage == "waiting for the user"


def test_an_agent_whose_command_was_permitted_waits_no_more(start_exporter: Starter, sleeper: Any, tmp_path: Path) -> None:
    server = start_exporter("--waiting-after", "0", "--sample-interval", "0.2")
    client = Client(server.url, server.key)
    tool = {"tool_name": "Bash", "tool_input": {"command": "sleep 62.5"}}
    event = {"session_id": "runs-1", "cwd": str(tmp_path), "hook_event_name": "PermissionRequest", **tool}
    assert call("claude-code", event, server.data_dir / "spool", HEADWAY_URL=server.url).returncode == 0
    found = wait_until(lambda: client.list(state="waiting"), 30, "the condition")
    assert [one["waiting_for"] for one in found] == ["permission to use Bash"]
    sleeper("sleep 62.5")
    wait_until(lambda: not client.list(state="waiting"), 30, "it was permitted")
    (one,) = client.list(state="running")
    assert (one["waiting_for"], one["stage"], one["metadata"]["asked"]) == (None, "Bash", "sleep 62.5")
