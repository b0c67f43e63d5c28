"""`headway mcp` as MCP clients use it: the SDK's own client, over stdio and over HTTP, against a real exporter."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_types import TextContent, TextResourceContents

from calling import make_key
from cli import HEADWAY, headway, surroundings
from headway import Client as Exporter
from headway.cli.exits import Exit
from headway.ids import new_id
from headway.mcp.shapes import MOST, progress, told
from running import RunningExporter
from serving import Serving
from waiting import wait_until

TOOLS = {
    *("list_processes", "show_process", "find_problems", "report_start", "report_progress", "report_end", "start_command"),
    *("report", "analyze", "recommend", "trends", "suggest_limits"),
    *("cancel_process", "kill_process", "kill_scope", "clean_up", "list_services", "ensure_services", "service_logs"),
}
Use = Callable[["Tools"], Awaitable[None]]


class Tools:
    """The tools of a server as a client sees them."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        text, failed = await self.said(tool, **arguments)
        assert not failed, text
        found: dict[str, Any] = json.loads(text)
        return found

    async def refused(self, tool: str, **arguments: Any) -> str:
        text, failed = await self.said(tool, **arguments)
        assert failed, text
        return text

    async def said(self, tool: str, **arguments: Any) -> tuple[str, bool]:
        result = await self.client.call_tool(tool, arguments)
        (block,) = result.content
        assert isinstance(block, TextContent)
        return block.text, bool(result.is_error)

    async def read(self, uri: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self.text(uri))
        return found

    async def text(self, uri: str) -> str:
        (content,) = (await self.client.read_resource(uri)).contents
        assert isinstance(content, TextResourceContents)
        return content.text


@asynccontextmanager
async def stdio(exporter: RunningExporter, key: str | None = None, **environ: str) -> AsyncIterator[Tools]:
    """`headway mcp` as clients start it: with the environment of their configuration and little else."""
    env = {"HEADWAY_URL": exporter.url, **({} if key is None else {"HEADWAY_KEY": key}), **environ}
    async with Client(stdio_client(StdioServerParameters(command=HEADWAY, args=["mcp"], env=env))) as client:
        yield Tools(client)


@contextmanager
def served(exporter: RunningExporter, *flags: str) -> Iterator[str]:
    """The address of `headway mcp --http`. The key in its environment must not help anybody."""
    command = [HEADWAY, "mcp", "--http", "127.0.0.1:0", *flags]
    environ = surroundings() | {"HEADWAY_URL": exporter.url, "HEADWAY_KEY": exporter.key}
    child = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
    lines: list[str] = []
    assert child.stderr is not None
    reader = threading.Thread(target=lambda: lines.extend(child.stderr or ()), daemon=True)
    reader.start()
    try:
        yield str(
            wait_until(lambda: next((m[1] for line in lines if (m := re.search(r"ready at (\S+)", line))), None), 30, "ready")
        )
    finally:
        child.terminate()
        child.wait(30)
        reader.join(30)
        child.stderr.close()


@asynccontextmanager
async def http(url: str, key: str) -> AsyncIterator[Tools]:
    async with (
        create_mcp_http_client(headers={"Authorization": f"Bearer {key}"}) as carrier,
        Client(streamable_http_client(url, http_client=carrier)) as client,
    ):
        yield Tools(client)


@pytest.fixture(scope="module")
def server(shared_exporter: RunningExporter) -> Iterator[str]:
    """The address of one for all tests that do not mind how they speak to it: to start one takes longer than most of them."""
    with served(shared_exporter) as url:
        yield url


@pytest.fixture
def mine(shared_exporter: RunningExporter, request: pytest.FixtureRequest) -> str:
    """A project of this test."""
    return re.sub(r"\W", "-", request.node.name)


def run(coroutine: Any) -> None:
    asyncio.run(coroutine)


# ── what there is ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"current": 40, "total": 100, "unit": "records", "ratio": 0.4}, "40/100 records (40%)"),
        ({"current": 1234567, "total": None, "unit": None}, "1234567"),
        ({"current": 906172178, "total": 3221225472, "unit": "bytes", "ratio": 0.281}, "864 MiB/3.00 GiB (28%)"),
        ({"current": None, "total": None}, None),
    ],
)
def test_progress_in_words(given: dict[str, Any], words: str | None) -> None:
    assert progress(given) == words


def test_the_tools_say_what_they_are_for(shared_exporter: RunningExporter) -> None:
    async def use() -> None:
        async with stdio(shared_exporter) as tools:
            listed = (await tools.client.list_tools()).tools
            assert {tool.name for tool in listed} == TOOLS
            for tool in listed:
                assert tool.description and "se it" in tool.description + "use it" and len(tool.description) > 100, tool.name
                assert tool.input_schema["additionalProperties"] is False
                assert tool.annotations is not None and tool.annotations.read_only_hint is not None
            ending = {tool.name for tool in listed if tool.annotations and tool.annotations.destructive_hint}
            assert ending == {"kill_process", "kill_scope"}
            assert "instructions" in (tools.client.instructions or "")

    run(use())


def test_the_documents_name_every_tool() -> None:
    text = (Path(__file__).resolve().parent.parent / "docs" / "mcp.md").read_text(encoding="utf-8")
    assert {name for name in TOOLS if f"`{name}`" not in text} == set()


# ── looking ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_processes_are_listed_page_by_page(shared_exporter: RunningExporter, server: str, mine: str) -> None:
    with Exporter(shared_exporter.url, shared_exporter.key) as exporter:
        for number in range(3):
            exporter.create("Load", project=mine, id=f"{mine[:40]}-{number}", progress={"current": 51, "total": 80, "unit": "rows"})

    async def use() -> None:
        async with http(server, shared_exporter.key) as tools:
            first = await tools("list_processes", project=mine, limit=2)
            assert [one["progress"] for one in first["processes"]] == ["51/80 rows (63%)"] * 2
            second = await tools("list_processes", project=mine, limit=2, cursor=first["next"])
            assert len(second["processes"]) == 1 and "next" not in second
            assert (await tools("list_processes", project="nobody"))["note"]
            assert "state" in await tools.refused("list_processes", state="sleepy")
            for arguments, said in (
                ({"limti": 3}, "list_processes has no argument limti: did you mean limit. Nothing was done: correct that and call"),
                ({"limit": 500}, "limit is 500: should be less than or equal to 50. Nothing was done"),
            ):
                words = await tools.refused("list_processes", **arguments)
                assert words.startswith(said) and "pydantic" not in words and "\n" not in words, words
            assert (await tools.refused("show_process")).startswith("show_process needs the argument id. Nothing was done")

    run(use())


def test_one_process_is_shown_with_its_log(shared_exporter: RunningExporter, server: str, mine: str) -> None:
    with Exporter(shared_exporter.url, shared_exporter.key) as exporter:
        made = exporter.create("Import", project=mine)
        exporter.create("Part", parent_id=made["id"])
        exporter.update(made["id"], log=[f"line {number}" for number in range(400)] + ["x" * 3000])
        exporter.update(made["id"], status="failed", error="no such column", exit_code=1)

    async def use() -> None:
        async with http(server, shared_exporter.key) as tools:
            found = await tools("show_process", id=made["id"], log_lines=3)
            assert (found["status"], found["error"], found["exit_code"]) == ("failed", "no such column", 1)
            assert found["log"][:2] == ["line 398", "line 399"] and found["log"][2].endswith("(2500 characters cut)")
            assert "398 earlier lines" in found["cut"]["log"]
            assert [child["name"] for child in found["children"]] == ["Part"]
            whole = await tools.read(f"headway://process/{made['id']}")
            assert whole["log"][0] == "line 0" and len(whole["log"]) == 401
            assert "list_processes" in await tools.refused("show_process", id="nobody")
            with pytest.raises(MCPError, match="list_processes"):
                await tools.read("headway://process/nobody")

    run(use())


def test_the_beginning_of_an_id_is_enough_where_it_is_the_only_one(
    shared_exporter: RunningExporter, server: str, mine: str
) -> None:
    """The report and the tables of the command line show beginnings."""
    head = new_id()[-12:]
    one, other = f"{head}-one", f"{head}-other"
    with Exporter(shared_exporter.url, shared_exporter.key) as exporter:
        for id in (one, other):
            exporter.create("Part", project=mine, id=id)

        async def use() -> None:
            async with http(server, shared_exporter.key) as tools:
                assert (await tools("show_process", id=f"{head}-on"))["id"] == one
                assert (await tools("report_progress", id=f"{head}-on", stage="half"))["process"]["id"] == one
                child = (await tools("report_start", name="Below", parent_id=f"{head}-on"))["process"]
                assert child["parent_id"] == one
                assert [row["id"] for row in (await tools("list_processes", parent=f"{head}-on"))["processes"]] == [child["id"]]
                would = await tools("kill_scope", scope="process", value=f"{head}-on")
                assert {hit["id"] for hit in would.get("would_end", would.get("not_ended", []))} <= {one, child["id"]}
                assert (await tools("cancel_process", id=f"{head}-on"))["process"]["id"] == one
                assert (await tools.read(f"headway://process/{head}-on"))["id"] == one
                for tool in ("show_process", "cancel_process", "kill_process"):
                    said = await tools.refused(tool, id=head)
                    assert f"2 ids begin with {head}: " in said and one in said and other in said, said
                assert "2 ids begin" in await tools.refused("report_start", name="Below", parent_id=head)
                assert (await tools("report_end", id=f"{head}-oth", outcome="done"))["process"]["id"] == other

        run(use())
        assert exporter.get(one)["cancel_requested"] is True


def test_active_processes_are_resources(shared_exporter: RunningExporter, server: str, mine: str) -> None:
    with Exporter(shared_exporter.url, shared_exporter.key) as exporter:
        made = exporter.create("Listed", project=mine)

    async def use() -> None:
        async with http(server, shared_exporter.key) as tools:
            listed = {str(one.uri): one.title for one in (await tools.client.list_resources()).resources}
            assert listed[f"headway://process/{made['id']}"] == "Listed"
            (template,) = (await tools.client.list_resource_templates()).resource_templates
            assert template.uri_template == "headway://process/{id}"

    run(use())


def test_stuck_ones_are_found_with_the_evidence(shared_exporter: RunningExporter, server: str, mine: str) -> None:
    with Exporter(shared_exporter.url, shared_exporter.key) as exporter:
        made = exporter.create("Hangs", project=mine, thresholds={"stuck_after": 0.2}, progress={"current": 1, "total": 9})
        wait_until(lambda: exporter.get(made["id"])["conditions"], what="stuck")

    async def use() -> None:
        async with http(server, shared_exporter.key) as tools:
            (found,) = (await tools("find_problems", project=mine))["problems"]
            assert found["id"] == made["id"] and found["flags"][0].startswith("stuck (")
            assert (await tools("find_problems", project=mine, problems=["overdue"]))["note"] == "no process is overdue"

    run(use())


def test_an_empty_list_of_problems_does_not_hide_what_has_failed(shared_exporter: RunningExporter, server: str, mine: str) -> None:
    with Exporter(shared_exporter.url, shared_exporter.key) as exporter:
        for number in range(3):
            exporter.update(exporter.create("Failed", project=mine, id=f"{mine[:40]}-f{number}")["id"], status="failed")

        async def use() -> None:
            async with http(server, shared_exporter.key) as tools:
                found = await tools("find_problems", project=mine)
                (also,) = found["also"]
                assert (found["problems"], also.partition(";")[0]) == ([], "ended badly and not dismissed: 3")
                listed = await tools("list_processes", project=mine, state="undismissed")
                assert "state=undismissed" in also and len(listed["processes"]) == 3
                assert "also" not in await tools("find_problems", project=mine, problems=["overdue"]), "that was not asked"
                for one in listed["processes"]:
                    exporter.dismiss(one["id"])
                assert "also" not in await tools("find_problems", project=mine)

        run(use())


def test_what_is_slow_and_what_to_do(shared_exporter: RunningExporter, server: str, mine: str) -> None:
    with Exporter(shared_exporter.url, shared_exporter.key) as exporter:
        for number in range(5):
            made = exporter.create(f"Fails {mine}", project=mine, id=f"{mine[:40]}-{number}")
            exporter.update(made["id"], status="failed", error=f"row {number}: no such column", exit_code=1)

    async def use() -> None:
        async with http(server, shared_exporter.key) as tools:
            found = await tools("analyze", project=mine)
            (pattern,) = found["patterns"]
            assert (pattern["runs"], pattern["failed"], pattern["failure_rate"]) == (5, 5, 1.0)
            assert len(pattern["errors"]) == 1
            (advice, *_) = (await tools("recommend", project=mine, limit=1))["recommendations"]
            assert advice["about"] == f"Fails {mine}" and advice["reason"] and advice["command"].startswith("headway ")
            assert (await tools("analyze", project="nobody"))["note"]
            over_time = await tools("trends", timeframe="1h", project=mine)
            assert over_time["source"] == "store" and sum(filter(None, over_time["series"]["failed"])) == 5
            assert "timeframe" in await tools.refused("trends", timeframe="1s")
            (limits,) = (await tools("suggest_limits", name=f"Fails {mine}"))["suggestions"]
            assert limits["runs"] == 0 and limits["reason"]
            assert "analyze" in await tools.refused("suggest_limits", name="nobody")
            page, failed = await tools.said("report")
            assert not failed and page.startswith("Headway ") and "no such column" in page
            assert (await tools.text("headway://report")).startswith("Headway ")

    run(use())


def test_an_answer_is_bounded_and_says_what_was_cut() -> None:
    answer = {"processes": [{"id": str(number), "name": "x" * 100} for number in range(1000)], "next": "c"}
    text = told(answer, {"processes": "call again with cursor"})
    found = json.loads(text)
    assert len(text) <= MOST
    assert found["cut"]["processes"] == f"{len(found['processes'])} of 1000 shown; call again with cursor"
    assert found["processes"][0]["id"] == "0" and found["next"] == "c"
    log = json.loads(told({"log": [f"{number} {'x' * 100}" for number in range(1000)]}))["log"]
    assert log[-1].startswith("999 ")


# ── reporting its own work ──────────────────────────────────────────────────────────────────────────────────────────


def test_an_agent_reports_its_own_work(shared_exporter: RunningExporter, mine: str) -> None:
    async def use() -> None:
        async with stdio(shared_exporter, shared_exporter.key) as tools:
            begun = (await tools("report_start", name="Review", total=3, unit="files", project=mine, model="some-model"))["process"]
            assert (begun["status"], begun["type"]) == ("running", "subagent")
            now = await tools(
                "report_progress", id=begun["id"], current=1, stage="reading", line="a.py", tokens_in=900, cost_dollars=0.1
            )
            assert (now["process"]["progress"], now["process"]["stage"]) == ("1/3 files (33%)", "reading")
            asks = await tools("report_progress", id=begun["id"], waiting_for=f" approval\nof {'x' * 200}")
            assert asks["process"]["waiting_for"].startswith("approval of xx") and len(asks["process"]["waiting_for"]) == 160
            assert "waiting_for" in (await tools("report_progress", id=begun["id"]))["process"]
            assert "waiting_for" not in (await tools("report_progress", id=begun["id"], waiting_for=""))["process"]
            with Exporter(shared_exporter.url, shared_exporter.key) as exporter:
                kept = exporter.get(begun["id"])
                assert kept["metadata"] == {"model": "some-model", "tokens": {"input": 900}, "cost_dollars": 0.1}
                assert (kept["log_tail"], kept["thresholds"]["stuck_after"]) == (["a.py"], 900)
            over = await tools("report_end", id=begun["id"], outcome="done", summary="3 files, no fault")
            assert (over["process"]["status"], over["process"]["summary"]) == ("done", "3 files, no fault")
            late = await tools("report_progress", id=begun["id"], current=2)
            assert late["ignored"]["fields"] == ["progress"]
            assert "show_process" in await tools.refused("report_end", id=begun["id"], outcome="failed")
            assert "duration" in await tools.refused("report_start", name="Review", silence_allowed="a while")

    run(use())


def test_an_agent_hears_that_it_shall_stop(shared_exporter: RunningExporter, server: str, mine: str) -> None:
    async def use() -> None:
        async with http(server, shared_exporter.key) as tools:
            begun = (await tools("report_start", name="Long", project=mine))["process"]
            await tools("cancel_process", id=begun["id"])
            assert "report_end" in (await tools("report_progress", id=begun["id"], current=1))["stop"]
            assert (await tools("report_end", id=begun["id"], outcome="cancelled"))["process"]["status"] == "cancelled"

    run(use())


# ── starting and ending ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_command_is_started_looked_at_and_ended(shared_exporter: RunningExporter, server: str, mine: str) -> None:
    async def use() -> None:
        async with http(server, shared_exporter.key) as tools:
            begun = (await tools("start_command", command="echo begun; exec sleep 600", name="Sleeper", project=mine))["process"]

            async def log() -> list[str]:
                found: list[str] = (await tools("show_process", id=begun["id"])).get("log", [])
                return found

            await until(log, "its output")
            over = await tools("kill_process", id=begun["id"])
            assert (over["process"]["status"], over["count"]) == ("killed", 1)
            assert over["ended"][0]["id"] == begun["id"]
            assert "already ended" in await tools.refused("kill_process", id=begun["id"])

    run(use())


def test_a_scope_is_ended_only_when_confirmed(shared_exporter: RunningExporter, server: str, mine: str) -> None:
    async def use() -> None:
        async with http(server, shared_exporter.key) as tools:
            ids = {(await tools("start_command", command="exec sleep 600", project=mine))["process"]["id"] for _ in range(2)}
            asked = await tools("kill_scope", scope="project", value=mine)
            assert {hit["id"] for hit in asked["would_end"]} == ids and "confirm=true" in asked["note"]
            assert {one["status"] for one in (await tools("list_processes", project=mine))["processes"]} == {"running"}
            done = await tools("kill_scope", scope="project", value=mine, confirm=True)
            assert {hit["id"] for hit in done["ended"]} == ids and done["count"] == 2
            assert not (await tools("list_processes", project=mine))["processes"]
            assert "value" in await tools.refused("kill_scope", scope="task")
            assert "takes no value" in await tools.refused("kill_scope", scope="all", value="x", confirm=True)
            assert "dry_run" in await tools.refused("kill_scope", scope="all", dry_run=False)

    run(use())


def test_without_an_operator_key_nothing_is_started_or_ended(shared_exporter: RunningExporter, mine: str) -> None:
    with Exporter(shared_exporter.url, shared_exporter.key) as exporter:
        made = exporter.create("Untouched", project=mine)

    async def use() -> None:
        # The local admin key, which the command line would find, is not taken.
        async with stdio(shared_exporter, HEADWAY_DATA_DIR=str(shared_exporter.data_dir)) as tools:
            for tool, arguments in (
                ("start_command", {"command": "true"}),
                ("kill_process", {"id": made["id"]}),
                ("kill_scope", {"scope": "project", "value": mine}),
                ("kill_scope", {"scope": "project", "value": mine, "confirm": True}),
                ("clean_up", {}),
                ("cancel_process", {"id": made["id"]}),
            ):
                said = await tools.refused(tool, **arguments)
                assert "role operator" in said and "Tell the user" in said, tool

    run(use())


def test_what_is_over_is_cleaned_up(start_exporter: Any) -> None:
    exporter = start_exporter("--sample-interval", "0.2")
    with Exporter(exporter.url, exporter.key) as client:
        made = client.create("Over", id="over-1")
        client.update(made["id"], status="done")

    async def use() -> None:
        async with stdio(exporter, exporter.key) as tools:
            asked = await tools("clean_up", older_than="0s", dry_run=True)
            assert asked == {"dry_run": True, "count": 1, "ended": ["Over (done, over-1)"]}
            assert (await tools("clean_up", older_than="0s"))["count"] == 1
            assert (await tools("clean_up", older_than="0s"))["count"] == 0

    run(use())


# ── services ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(sys.platform != "linux", reason="services are ended by /proc after the test")
def test_services_are_ensured(tmp_path: Path) -> None:
    serving = Serving(tmp_path)

    async def failures(name: str) -> int:
        return int(serving.status(name)["failures"])

    calm = {"autostart": False, "restart": "never"}
    try:
        serving.start(
            {
                "db": {"command": "echo up; exec sleep 1000", **calm},
                "web": {"command": "exec sleep 1000", "depends_on": ["db"], **calm},
                "broken": {"command": "echo 'no space' >&2; exit 4", **calm},
                "flap": {"command": "sleep 1.5; exit 5", "autostart": False, "restart": {"backoff": "0.1s", "tries": 2}},
            }
        )

        async def use() -> None:
            async with stdio(serving.exporter, serving.exporter.key) as tools:
                assert {one["status"] for one in (await tools("list_services"))["services"]} == {"stopped"}
                found = await tools("ensure_services", names=["web"])
                assert found["ready"] and [one["name"] for one in found["services"]] == ["db", "web"]
                pids = [one["pid"] for one in found["services"]]
                again = await tools("ensure_services", names=["web"])
                assert [one["pid"] for one in again["services"]] == pids
                assert (await tools("service_logs", name="db"))["log"] == ["up"]
                broken = await tools("ensure_services", names=["broken"])
                assert not broken["ready"] and "service_logs" in broken["next"] and broken["services"][0]["reason"]
                assert "services in error: broken; list_services says why" in (await tools("find_problems"))["also"]
                await tools("ensure_services", names=["flap"], wait=0)
                await until(lambda: failures("flap"), "its first failure")
                flap = await tools("ensure_services", names=["flap"], wait=30)
                assert not flap["ready"] and flap["services"][0]["gave_up"], flap
                assert "db, broken, flap, web" in await tools.refused("ensure_services", names=["wbe"])
                assert "did you mean broken? list_processes" in await tools.refused("service_logs", name="borken")

        run(use())
    finally:
        serving.end()


# ── errors, and the way there ───────────────────────────────────────────────────────────────────────────────────────


def test_an_exporter_that_is_away_is_said(tmp_path: Path) -> None:
    nowhere = RunningExporter(tmp_path, port=9)

    async def use() -> None:
        async with stdio(nowhere) as tools:
            assert "headway serve" in await tools.refused("list_processes")
            assert [str(one.uri) for one in (await tools.client.list_resources()).resources] == ["headway://report"]

    run(use())


def test_over_http_everyone_has_their_own_key(start_exporter: Any) -> None:
    exporter = start_exporter("--sample-interval", "0.2")
    ann = make_key(exporter, "operator", "--user", "ann")
    viewer = make_key(exporter, "viewer")
    with Exporter(exporter.url, exporter.key) as client:
        client.create("Hers", user="ann")
        client.create("His", user="bob")

    async def use(url: str) -> None:
        async with http(url, exporter.key) as admin, http(url, ann) as hers, http(url, viewer) as viewing:
            names = [{one["name"] for one in (await who("list_processes"))["processes"]} for who in (admin, hers, viewing)]
            assert names == [{"Hers", "His"}, {"Hers"}, {"Hers", "His"}]
            assert "role reporter" in await viewing.refused("report_start", name="Mine")
            assert (await hers("report_start", name="Mine"))["process"]["user"] == "ann"
            started = (await admin("start_command", command="exec sleep 600"))["process"]
            assert (await admin("kill_process", id=started["id"]))["count"] == 1
            assert (await admin.read(f"headway://process/{started['id']}"))["status"] == "killed"

    with served(exporter) as url:
        run(use(url))


def test_over_http_nobody_comes_in_without_a_key(shared_exporter: RunningExporter, server: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = {"Accept": "application/json, text/event-stream"}
    for headers in ({}, {"Authorization": "Bearer hw_0_wrong"}, {"Authorization": "Basic eDp5"}):
        answer = requests.post(server, json=body, headers=accept | headers, timeout=30)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), headers
        assert "key" in answer.json()["error"]
    known = accept | {"Authorization": f"Bearer {shared_exporter.key}"}
    for foreign in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        assert requests.post(server, json=body, headers=known | foreign, timeout=30).status_code in (403, 421), foreign


def test_mistakes_on_the_command_line(shared_exporter: RunningExporter) -> None:
    for flags, words in (
        (("--http", "nowhere"), "HOST:PORT"),
        (("--allowed-host", "x"), "--http"),
        (("--key-file", "/nonexistent"), "key file"),
        (("--url", "off"), "--url"),
    ):
        said = headway("mcp", *flags, environ={"HEADWAY_URL": shared_exporter.url})
        assert said.returncode == Exit.USAGE and words in said.stderr, flags
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        said = headway("mcp", "--http", where, environ={"HEADWAY_URL": shared_exporter.url})
    assert said.returncode == Exit.FAILED and f"cannot listen on {where}: Address already in use" in said.stderr
    assert "choose another address with --http HOST:PORT" in said.stderr


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "mcp").mkdir()
    (tmp_path / "mcp" / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'mcp'\", name='mcp')")
    said = subprocess.run(
        [sys.executable, "-m", "headway", "mcp"],
        env=surroundings() | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    assert (said.returncode, f"pip install -e '{Path(__file__).parents[1]}[mcp]'" in said.stderr) == (Exit.FAILED, True)


async def until(look: Callable[[], Awaitable[Any]], what: str) -> Any:
    """As waiting.wait_until, for what is awaited."""
    deadline = asyncio.get_running_loop().time() + 30
    while not (answer := await look()):
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.05)
    return answer
