"""`headway hook`: recorded events of coding agents become processes of a real exporter, and no trouble reaches the agent."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from cli import HEADWAY, headway, surroundings
from headway import Client
from headway.hook import command, events
from headway.hook.shapes import process_id
from headway.ids import check_id
from headway.schemas.decoding import decode
from headway.schemas.reports import BatchItem
from running import RunningExporter, Starter
from waiting import wait_until

HERE = Path(__file__).resolve().parent
INTEGRATIONS = HERE.parent / "integrations"
RECORDED: dict[str, list[dict[str, Any]]] = {
    agent: json.loads((HERE / "hooks" / f"{agent}.json").read_text(encoding="utf-8")) for agent in command.AGENTS
}
SESSIONS = {
    "claude-code": "claude-code-7d4c1f6e-2a90-4c55-9b1e-0f3a6b8c2d10",
    "codex": "codex-019d036d-c7fa-72d2-b6fd-78878bfe34e4",
    "gemini": "gemini-b1c7f2aa-5d3e-4a7c-8f60-2e9d1c0b4a55",
    "openclaw": "openclaw-agent-main-main",
}


def call(agent: str, event: object, spool: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """`headway hook AGENT` as the agent runs it."""
    given = event if isinstance(event, str) else json.dumps(event)
    env = {**surroundings(), "HEADWAY_SPOOL": str(spool), **environ}
    return subprocess.run([HEADWAY, "hook", agent], input=given, env=env, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("words", [[], ["claude-cod"], ["--agent"], ["--nope", "claude-code"], ["claude-code", "more"]])
def test_its_exit_code_is_0_whatever_is_behind_it(words: list[str], tmp_path: Path) -> None:
    """2 would keep Claude Code from the tool that it is about to use."""
    env = {**surroundings(), "HEADWAY_SPOOL": str(tmp_path / "spool")}
    event = json.dumps(RECORDED["claude-code"][0])
    done = subprocess.run([HEADWAY, "hook", *words], input=event, env=env, capture_output=True, text=True, timeout=30)
    named = "claude-code" in words
    assert (done.returncode, done.stdout, "say which agent calls" in done.stderr) == (0, "", not named), done.stderr
    assert bool(spooled(tmp_path / "spool")) == named


def spooled(spool: Path) -> list[dict[str, Any]]:
    """The items that wait, oldest first."""
    found: list[dict[str, Any]] = []
    for path in sorted(spool.glob("*.ready")):
        found += [json.loads(line) for line in path.read_text().splitlines()]
    return found


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("HEADWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HEADWAY_SPOOL", str(tmp_path / "spool"))
    return tmp_path / "spool"


@pytest.fixture
def told(shared_exporter: RunningExporter, monkeypatch: pytest.MonkeyPatch) -> RunningExporter:
    """The exporter that all recorded events were meant for."""
    for name in [name for name in os.environ if name.startswith("HEADWAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HEADWAY_SPOOL", str(shared_exporter.data_dir / "spool"))
    monkeypatch.setenv("HEADWAY_URL", shared_exporter.url)
    return shared_exporter


def tell(agent: str, events: list[dict[str, Any]]) -> None:
    for event in events:
        command.take(agent, json.dumps(event).encode())


def arrived(exporter: RunningExporter, id: str, **expected: str) -> Mapping[str, Any]:
    with Client(exporter.url, exporter.key) as client:

        def look() -> dict[str, Any] | None:
            found = next((one for one in client.list(state="all", limit=1000) if one["id"] == id), None)
            there = found is not None and all(found[field] == value for field, value in expected.items())
            return client.get(id) if there else None

        found = wait_until(look, 30, f"{id} as {expected}")
        assert found is not None
        return found


# ── what becomes of recorded events ─────────────────────────────────────────────────────────────────────────────────


def test_a_session_of_claude_code(told: RunningExporter) -> None:
    tell("claude-code", RECORDED["claude-code"])
    found = arrived(told, SESSIONS["claude-code"], status="done")
    assert (found["name"], found["type"], found["project"], found["agent"]) == ("Claude Code", "subagent", "shop", "claude-code")
    transcript = RECORDED["claude-code"][0]["transcript_path"]
    assert found["metadata"] == {"model": "claude-sonnet-4-6", "transcript": transcript, "asked": "make test"}
    assert found["summary"] == "The test used last year's price list; it is fixed."
    log = "\n".join(found["log_tail"])
    assert "Bash: curl -H 'Authorization: Bearer ***' localhost/api" in log and "Bash failed: exit code 7" in log
    assert "notification: Claude needs your permission" in log and "session ended: prompt_input_exit" in log
    assert "swordfish" not in json.dumps(found) and "sk-ant" not in json.dumps(found)
    (child,) = found["children"]
    assert (child["name"], child["status"]) == ("Claude Code: Explore", "done")
    assert child["summary"] == "checkout() is in src/cart.py, line 41."
    assert (child["stage"], child["log_tail"]) == ("Grep", ["Grep: src"])


@pytest.mark.parametrize(
    ("event", "stage"),
    [
        ({"notification_type": "permission_prompt", "message": "x"}, "waiting for the user"),
        ({"notification_type": "idle_prompt", "message": "x"}, "waiting for the user"),
        ({"message": "Claude needs your permission to use Bash"}, "waiting for the user"),
        ({"message": "Claude Code needs your approval for the plan"}, "waiting for the user"),
        ({"message": "Claude is waiting for your input"}, "waiting for the user"),
        ({"notification_type": "auth_success", "message": "needs your"}, None),
        ({"message": "All done"}, None),
        ({"message": None}, None),
    ],
)
def test_a_notification_that_asks_for_the_user_is_the_stage(event: dict[str, Any], stage: str | None) -> None:
    """With the type of newer versions, and by its words without."""
    assert events.saying("Notification", event).get("stage") == stage


BASH = "permission to use Bash"
# What an event of an agent says of waiting for a person.
WAITS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("gemini", "PreToolUse", {"tool_name": "run_shell_command"}, {"waiting_for": None}),
    ("gemini", "PostToolUse", {"tool_name": "run_shell_command"}, {"waiting_for": None}),
    ("claude-code", "PermissionRequest", {"tool_name": "Bash", "tool_input": {"command": "ls"}}, {"waiting_for": BASH}),
    ("claude-code", "PermissionRequest", {"tool_name": "ExitPlanMode"}, {"waiting_for": "approval of the plan"}),
    ("claude-code", "PermissionRequest", {}, {"waiting_for": "permission to use a tool"}),
    ("claude-code", "PermissionRequest", {"tool_name": "x" * 900}, {"waiting_for": f"permission to use {'x' * 141}…"}),
    ("codex", "PermissionRequest", {"tool_name": "Bash"}, {"waiting_for": BASH}),
    # The notification about the same says the same, with a type and without.
    ("claude-code", "Notification", {"message": "Claude needs your permission to use Bash"}, {"waiting_for": BASH}),
    (
        "claude-code",
        "Notification",
        {"notification_type": "permission_prompt", "message": "Claude Code needs your permission to use ExitPlanMode"},
        {"waiting_for": "approval of the plan"},
    ),
    (
        "claude-code",
        "Notification",
        {"message": "Claude needs your approval for the plan"},
        {"waiting_for": "approval for the plan"},
    ),
    ("claude-code", "Notification", {"notification_type": "elicitation_dialog"}, {"waiting_for": "an answer"}),
    ("claude-code", "Notification", {"notification_type": "elicitation_complete"}, {"waiting_for": None}),
    ("claude-code", "Notification", {"notification_type": "auth_success", "message": "needs your"}, {}),
    ("claude-code", "Notification", {"message": "All done"}, {}),
    ("claude-code", "Elicitation", {"mcp_server_name": "tickets"}, {"waiting_for": "an answer for tickets"}),
    ("claude-code", "ElicitationResult", {}, {"waiting_for": None}),
    # Its turn is over: nobody is asked anything.
    ("claude-code", "Notification", {"notification_type": "idle_prompt", "message": "needs your"}, {"waiting_for": None}),
    ("claude-code", "Notification", {"message": "Claude is waiting for your input"}, {"waiting_for": None}),
    ("claude-code", "Stop", {}, {"waiting_for": None}),
    ("claude-code", "StopFailure", {}, {"waiting_for": None}),
    # It goes on: with another tool whatever was asked is answered; of parallel tools each has its own permission.
    ("claude-code", "UserPromptSubmit", {}, {"waiting_for": None}),
    ("claude-code", "PreToolUse", {"tool_name": "Read"}, {"waiting_for": None}),
    ("claude-code", "PostToolUse", {"tool_name": "Bash"}, {"waited_for": BASH}),
    ("claude-code", "PostToolUseFailure", {"tool_name": "Bash"}, {"waited_for": BASH}),
    ("claude-code", "SubagentStart", {}, {}),
    # Tools that are questions themselves.
    ("claude-code", "PreToolUse", {"tool_name": "AskUserQuestion"}, {"waiting_for": "an answer to its question"}),
    ("claude-code", "PostToolUse", {"tool_name": "AskUserQuestion"}, {"waited_for": "an answer to its question"}),
    (
        "gemini",
        "Notification",
        {"notification_type": "ToolPermission", "message": "m", "details": {"type": "exec", "rootCommand": "npm"}},
        {"waiting_for": "permission to run npm"},
    ),
    (
        "gemini",
        "Notification",
        {"notification_type": "ToolPermission", "message": "m", "details": {"type": "edit", "fileName": "a.py"}},
        {"waiting_for": "permission to change a.py"},
    ),
    (
        "gemini",
        "Notification",
        {"notification_type": "ToolPermission", "message": "Allow?", "details": 7},
        {"waiting_for": "Allow?"},
    ),
]


@pytest.mark.parametrize(("agent", "name", "event", "said"), WAITS)
def test_who_waits_for_a_person_and_who_goes_on(agent: str, name: str, event: dict[str, Any], said: dict[str, Any]) -> None:
    assert events.waiting(agent, name, event) == said


def test_a_permission_of_a_sub_agent_may_have_been_told_of_the_session(spool: Path) -> None:
    event = {**RECORDED["claude-code"][5], "hook_event_name": "PostToolUse"}
    tell("claude-code", [event])
    session, child = spooled(spool)
    assert session["waited_for"] == child["waited_for"] == "permission to use Grep" and "stage" not in session


def test_an_agent_that_wants_a_permission_waits_until_the_tool_was_used(start_exporter: Starter) -> None:
    """From the event to the verdict of a real exporter, and back."""
    server = start_exporter("--waiting-after", "0", "--sample-interval", "0.2")
    session = {"session_id": "asks-1", "cwd": "/srv/shop"}
    tool = {"tool_name": "Bash", "tool_input": {"command": "make release"}, "tool_use_id": "toolu_9"}
    client = Client(server.url, server.key)

    def hook(name: str, **more: object) -> None:
        event = {**session, "hook_event_name": name, **more}
        assert call("claude-code", event, server.data_dir / "spool", HEADWAY_URL=server.url).returncode == 0

    def look(state: str, stage: str = "") -> dict[str, Any] | None:
        found = (one for one in client.list(state=state) if one["id"] == "claude-code-asks-1")
        return next((one for one in found if not stage or one["stage"] == stage), None)

    hook("PreToolUse", **tool)
    wait_until(lambda: look("running"), 30, "the session")
    hook("PermissionRequest", **tool)
    found = wait_until(lambda: look("waiting"), 30, "the condition")
    assert found is not None and (found["waiting_for"], found["stage"]) == (BASH, "waiting for the user")
    (held,) = found["conditions"]
    assert (held["name"], held["severity"], held["since"]) == ("waiting", "warning", found["waiting_since"])
    assert held["reason"].startswith("waits for a person for ") and held["reason"].endswith(f": {BASH}")
    page = requests.get(f"{server.url}/metrics", timeout=30).text
    assert re.search(r'headway_process_waiting_since_timestamp_seconds\{id="claude-code-asks-1",[^}]*\} 1\d{9}', page)
    assert re.search(r'headway_process_waiting_info\{id="claude-code-asks-1",[^}]*text="permission to use Bash"\} 1', page)
    hook("PostToolUse", tool_name="Read")
    found = wait_until(lambda: look("waiting", "thinking"), 30, "another tool was used")
    assert found is not None and found["waiting_for"] == BASH
    hook("PostToolUse", **tool)
    wait_until(lambda: look("waiting") is None, 30, "it goes on")
    found = look("running")
    assert found is not None and (found["waiting_for"], found["waiting_since"], found["conditions"]) == (None, None, [])
    assert (
        'headway_process_waiting_since_timestamp_seconds{id="claude-code-asks-1"'
        not in requests.get(f"{server.url}/metrics", timeout=30).text
    )


def test_a_session_of_codex(told: RunningExporter) -> None:
    tell("codex", RECORDED["codex"])
    found = arrived(told, SESSIONS["codex"], summary="Both pages are updated.")
    assert (found["status"], found["stage"], found["metadata"]["model"]) == ("running", "waiting for the user", "gpt-5.4")
    assert found["waiting_for"] is None
    (child,) = found["children"]
    assert (child["name"], child["status"], child["summary"]) == ("Codex: explorer", "done", "Two pages are out of date.")


def test_a_session_of_gemini_cli(told: RunningExporter) -> None:
    tell("gemini", RECORDED["gemini"])
    found = arrived(told, SESSIONS["gemini"], status="done")
    assert (found["name"], found["summary"]) == ("Gemini CLI", "data is 1.2 GB.")
    assert "run_shell_command: du -sh * | sort -h" in found["log_tail"]


def test_a_session_of_openclaw(told: RunningExporter) -> None:
    tell("openclaw", RECORDED["openclaw"])
    found = arrived(told, SESSIONS["openclaw"], status="done")
    assert found["metadata"] == {"model": "some-model", "tokens": {"input": 1200, "output": 340}}
    (child,) = found["children"]
    assert (child["name"], child["status"], child["summary"]) == ("OpenClaw: sub-agent", "done", "ok: completed")
    assert child["metadata"] == {"model": "some-model", "agent_id": "main", "tokens_total": 4321}
    assert child["log_tail"] == ["web_fetch: http://prices.example/?api_key=***"]


@pytest.mark.parametrize("agent", command.AGENTS)
def test_every_event_alone_is_something_the_exporter_takes(agent: str, spool: Path) -> None:
    for event in RECORDED[agent]:
        command.take(agent, json.dumps(event).encode())
    for item in spooled(spool):
        assert item.pop("url") == "http://127.0.0.1:14323" and item.pop("at") > 0
        decode(json.dumps(item).encode(), BatchItem)
        assert check_id(item["id"])
        assert "swordfish" not in json.dumps(item) and "AbCdEf0123" not in json.dumps(item)


@pytest.mark.parametrize("agent", command.AGENTS)
def test_the_same_session_is_created_alike_by_each_event(agent: str, spool: Path) -> None:
    tell(agent, RECORDED[agent])
    created: dict[str, set[tuple[str, str]]] = {}
    for item in spooled(spool):
        if made := item.get("create"):
            created.setdefault(item["id"], set()).add((made["name"], made["type"]))
    assert created and all(len(facts) == 1 for facts in created.values())


def test_a_session_below_a_tracked_command_is_its_child(told: RunningExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(told.url, told.key) as client:
        outer = client.create("Nightly review")
    monkeypatch.setenv("HEADWAY_PARENT_ID", outer["id"])
    monkeypatch.setenv("HEADWAY_TASK", "T-7")
    event = {"session_id": "nested-1", "hook_event_name": "SessionStart", "cwd": "/srv/app", "source": "startup"}
    tell("claude-code", [event])
    found = arrived(told, "claude-code-nested-1")
    assert (found["parent_id"], found["task"], found["project"]) == (outer["id"], "T-7", "app")


def test_ids_are_derived() -> None:
    assert process_id("codex", "a1") == "codex-a1"
    assert check_id(process_id("codex", "x" * 200)) != process_id("codex", "x" * 201)
    assert check_id(process_id("claude-code", "a/b")) != check_id(process_id("claude-code", "a b"))
    assert process_id("claude-code", "é") == process_id("claude-code", "é")


# ── as agents call it ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("agent", command.AGENTS)
def test_it_says_nothing_and_leaves_a_private_file(agent: str, tmp_path: Path) -> None:
    done = call(agent, RECORDED[agent][0], tmp_path / "spool")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("{}\n" if agent == "gemini" else "")
    (file,) = (tmp_path / "spool").iterdir()
    assert file.suffix == ".ready" and file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "given",
    ["", "no JSON", "[]", "{}", '{"session_id": 7}', '{"session_id": "s", "hook_event_name": null, "tool_input": [[]]}', "\x00"],
)
@pytest.mark.parametrize("agent", command.AGENTS)
def test_what_makes_no_sense_is_no_trouble(agent: str, given: str, spool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Given:
        class buffer:
            @staticmethod
            def read(limit: int) -> bytes:
                return given.encode()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", Given)
        assert command.main([agent]) == 0
    assert capsys.readouterr() == ("{}\n" if agent == "gemini" else "", "")


def test_a_spool_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = call("claude-code", RECORDED["claude-code"][0], tmp_path / "file")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = call("claude-code", RECORDED["claude-code"][0], tmp_path / "file", HEADWAY_DEBUG="1")
    assert (done.returncode, "headway hook:" in done.stderr) == (0, True)


def test_off_means_off(tmp_path: Path) -> None:
    assert call("claude-code", RECORDED["claude-code"][0], tmp_path / "spool", HEADWAY_URL="off").returncode == 0
    assert not (tmp_path / "spool").exists()


def test_a_spool_that_nobody_empties_does_not_grow_for_ever(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "CROWDED", 2)
    monkeypatch.setattr(command, "FULL", 3)
    start, *_, tool = RECORDED["claude-code"][:3]
    tell("claude-code", [start, tool, tool, tool])
    assert len(spooled(spool)) == 2
    tell("claude-code", [RECORDED["claude-code"][-1]] * 3)
    assert [item.get("status") for item in spooled(spool)] == [None, None, "done"]


def test_long_inputs_are_cut(spool: Path) -> None:
    event = {**RECORDED["claude-code"][2], "tool_input": {"command": "echo " + "x" * 100_000}}
    tell("claude-code", [event])
    (item,) = spooled(spool)
    assert len(item["log"]) == 300 and item["log"].endswith("…")


def test_little_is_loaded() -> None:
    code = (
        "import sys; from headway.hook import command; command.meaning('claude-code', "
        "{'session_id': 's', 'hook_event_name': 'PreToolUse', 'tool_name': 'Bash', 'tool_input': {'command': 'make'}}); "
        "from headway import masking; assert masking._pattern.cache_info().currsize == 0, 'patterns were compiled'; "
        "print(*sys.modules)"
    )
    loaded = set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())
    assert (
        loaded & {"argparse", "requests", "pathlib", "tempfile", "threading", "typing", "headway.reporter", "headway.settings"}
        == set()
    )


def test_the_help_says_which_agents() -> None:
    said = headway("hook", "--help")
    assert said.returncode == 0 and all(agent in said.stdout for agent in command.AGENTS)


# ── the ready configurations ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "agent"),
    [("claude-code/settings.json", "claude-code"), ("codex/hooks.json", "codex"), ("gemini-cli/settings.json", "gemini")],
)
def test_the_configurations_call_the_hook_for_the_recorded_events(path: str, agent: str) -> None:
    configured = json.loads((INTEGRATIONS / path).read_text(encoding="utf-8"))["hooks"]
    for groups in configured.values():
        for group in groups:
            assert [hook["command"] for hook in group["hooks"]] == [f"headway hook {agent}"]
    assert {event["hook_event_name"] for event in RECORDED[agent]} <= set(configured)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_plugin_for_openclaw_passes_events_on(tmp_path: Path) -> None:
    (tmp_path / "headway").write_text(f'#!/bin/sh\ncat > "{tmp_path}/$$.json"; echo "$*" > "{tmp_path}/$$.words"\n')
    (tmp_path / "headway").chmod(0o755)
    events = [
        ("session_start", {"sessionId": "5e1", "sessionKey": "agent:main:main"}, {"agentId": "main"}),
        ("llm_output", {"sessionId": "5e1", "model": "m", "prompt": "secret", "usage": {"input": 5, "output": 2}}, {}),
        ("after_tool_call", {"toolName": "exec", "params": {}, "result": "secret"}, {"sessionKey": "k"}),
    ]
    script = f"""
    const plugin = (await import({json.dumps(str(INTEGRATIONS / "openclaw" / "index.js"))})).default;
    const handlers = {{}};
    const on = (name, handler) => (handlers[name] = handler);
    plugin.register({{ on, pluginConfig: {{ command: {json.dumps(str(tmp_path / "headway"))} }} }});
    for (const [name, event, context] of {json.dumps(events)}) handlers[name](event, context);
    """
    subprocess.run(["node", "--input-type=module", "-e", script], check=True, timeout=30)
    files = wait_until(lambda: len(found := sorted(tmp_path.glob("*.words"))) == 3 and found, what="three calls")
    assert files and {file.read_text() for file in files} == {"hook openclaw\n"}
    payloads = {one["hook"]: one for one in (json.loads(file.read_text()) for file in tmp_path.glob("*.json"))}
    assert payloads["session_start"]["context"] == {"agentId": "main"}
    assert payloads["llm_output"]["event"] == {"sessionId": "5e1", "model": "m", "totals": {"input": 5, "output": 2}}
    assert "secret" not in json.dumps(payloads)
