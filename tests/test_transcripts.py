"""Tokens from transcripts: counted as providers tell them, never the words, within bounds, by a running exporter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headway import Client
from headway.hook import command
from headway.transcripts import reading
from headway.transcripts.counting import REMEMBERED, Count
from headway.transcripts.reading import Transcript, readable
from running import RunningExporter
from waiting import wait_until

SECRET = "the user's own words"


def answer(number: int, output: int, **more: Any) -> dict[str, Any]:
    """A line of Claude Code."""
    usage = {"input_tokens": 10, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 1000, "output_tokens": output}
    message = {"id": f"msg_{number}", "model": "claude-x", "usage": usage, "content": [{"type": "text", "text": SECRET}]}
    return {"type": "assistant", "requestId": f"r{number}", "message": message} | more


def lines(*given: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in given)


def counted(agent: str, *given: Any) -> Count:
    found = Count(agent)
    for line in lines(*given).splitlines():
        found.line(line)
    return found


def test_claude_code_repeats_the_usage_of_a_request_in_each_part_of_the_answer() -> None:
    user = {"type": "user", "message": {"content": f'{SECRET} "usage"'}}
    found = counted("claude-code", user, answer(1, 7), answer(1, 20), answer(2, 5), answer(9, 99, isSidechain=True))
    assert found.tokens == {"input": 30, "output": 25, "cache_read": 2000} and found.model == "claude-x"
    many = counted("claude-code", *(answer(number, 1) for number in range(3 * REMEMBERED)))
    assert many.tokens["output"] == 3 * REMEMBERED, "what is forgotten stays in the sum"
    synthetic = answer(1, 0)
    synthetic["message"]["model"] = "<synthetic>"
    assert counted("claude-code", synthetic).model is None


def test_codex_tells_the_sum_so_far() -> None:
    def event(read: int, cached: int, written: int) -> dict[str, Any]:
        usage = {"input_tokens": read, "cached_input_tokens": cached, "output_tokens": written}
        return {"type": "event_msg", "payload": {"type": "token_count", "info": {"total_token_usage": usage}}}

    nothing = {"type": "event_msg", "payload": {"type": "token_count", "info": None}}
    assert counted("codex", event(100, 40, 7), nothing, event(300, 200, 9)).tokens == {"input": 100, "output": 9, "cache_read": 200}


def test_gemini_tells_each_message(tmp_path: Path) -> None:
    tokens = {"input": 100, "output": 5, "cached": 30, "thoughts": 2, "tool": 1, "total": 108}
    message = {"id": "a", "type": "gemini", "model": "gemini-x", "tokens": tokens}
    path = tmp_path / "session.json"
    path.write_text(json.dumps({"messages": [{"type": "user", "content": SECRET}, message, message | {"id": "b"}]}))
    transcript = Transcript("gemini", str(path))
    assert transcript.look() and transcript.count.tokens == {"input": 142, "output": 14, "cache_read": 60}
    assert not transcript.look(), "it has not changed"
    assert counted("gemini", message, message).tokens == {"input": 71, "output": 7, "cache_read": 30}


@pytest.mark.parametrize("agent", ["claude-code", "codex", "gemini"])
def test_anything_else_says_nothing(agent: str) -> None:
    mark = {"claude-code": "usage", "codex": "token_count", "gemini": "tokens"}[agent]
    odd = [{mark: 3}, [mark], mark, {"message": {mark: []}}, {"payload": {"type": mark, "info": []}}, {mark: {"input": "x"}}]
    odd += [{"type": "assistant", "message": {"usage": {"input_tokens": -1, "output_tokens": True}}}]
    found = counted(agent, *odd)
    found.line(b'{"usage" "token_count" "tokens" half')
    found.line(b"[" * 100_000 + mark.encode())
    assert not any(found.tokens.values())


def test_a_transcript_that_grows_is_read_on_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LARGEST", 2000)
    path = tmp_path / "s.jsonl"
    path.write_bytes(lines(answer(1, 1), {"long": "x" * 5000 + '"usage"'}, answer(2, 1)) + b'{"type": "assist')
    transcript = Transcript("claude-code", str(path))
    looks = 0
    while not transcript.look():
        looks += 1
        assert looks < 10
    assert transcript.count.tokens["output"] == 2 and looks >= 2
    with path.open("ab") as file:
        file.write(b'ant"}\n' + lines(answer(3, 5)))
    assert transcript.look() and transcript.count.tokens["output"] == 7
    path.write_bytes(lines(answer(1, 3)))
    assert transcript.look() and transcript.count.tokens["output"] == 3, "one that is shorter is another one"


def test_only_transcripts_are_opened(tmp_path: Path) -> None:
    folder = tmp_path / ".claude" / "projects"
    folder.mkdir(parents=True)
    good = folder / "s.jsonl"
    good.write_bytes(lines(answer(1, 1)))
    (tmp_path / "secret.jsonl").write_bytes(lines(answer(1, 1)))
    (folder / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    (folder / "dir.jsonl").mkdir()
    assert readable("claude-code", str(good)) and Transcript("claude-code", str(good)).look()
    for wrong in (tmp_path / "secret.jsonl", folder / "link.jsonl", folder / "x.txt", folder / ".." / ".." / "secret.jsonl"):
        assert not readable("claude-code", str(wrong)), wrong
    assert not readable("openclaw", str(good)) and not readable("claude-code", ".claude/s.jsonl")
    assert not Transcript("claude-code", str(folder / "dir.jsonl")).look()
    assert not Transcript("claude-code", str(folder / "link.jsonl")).look()


def test_a_session_has_its_tokens_and_sub_agents_theirs(
    shared_exporter: RunningExporter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADWAY_SPOOL", str(shared_exporter.data_dir / "spool"))
    monkeypatch.setenv("HEADWAY_URL", shared_exporter.url)
    folder = tmp_path / ".claude" / "projects"
    folder.mkdir(parents=True)
    whole, part = folder / "whole.jsonl", folder / "agent-a1.jsonl"
    whole.write_bytes(lines({"type": "user", "message": {"content": SECRET}}, answer(1, 20)))
    part.write_bytes(lines(answer(5, 3)))
    event = {"session_id": "tokens-1", "transcript_path": str(whole), "cwd": str(tmp_path)}
    agent = {"agent_id": "a1", "agent_type": "Explore", "agent_transcript_path": str(part)}

    def tell(**more: Any) -> None:
        command.take("claude-code", json.dumps(event | more).encode())

    with Client(shared_exporter.url, shared_exporter.key) as client:

        def tokens(process_id: str) -> object:
            found = {one["id"]: one for one in client.list(state="all", limit=1000)}.get(process_id, {})
            return found.get("metadata", {}).get("tokens")

        tell(hook_event_name="SessionStart")
        wait_until(lambda: tokens("claude-code-tokens-1") == {"input": 15, "output": 20, "cache_read": 1000}, 40, "its tokens")
        with whole.open("ab") as file:
            file.write(lines(answer(2, 30)))
        wait_until(lambda: tokens("claude-code-tokens-1") == {"input": 30, "output": 50, "cache_read": 2000}, 40, "what came after")
        tell(hook_event_name="SubagentStop", **agent)
        wait_until(
            lambda: tokens("claude-code-tokens-1-a1") == {"input": 15, "output": 3, "cache_read": 1000}, 40, "of the sub-agent"
        )
        found = client.get("claude-code-tokens-1")
        assert found["metadata"]["model"] == "claude-x" and SECRET not in json.dumps(found)
        metrics = client.metrics()
        assert 'id="claude-code-tokens-1",name="Claude Code",kind="subagent",direction="output"} 50' in metrics
