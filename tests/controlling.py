"""Records of running scripts, and what ends them, through a real exporter."""

from __future__ import annotations

import re
from typing import Any

from calling import Api
from headway.sampler.base import identify
from osprocesses import Script
from running import RunningExporter


def track(api: Api, script: Script | int, **fields: Any) -> str:
    """A record of a running script."""
    pid = script if isinstance(script, int) else script.pid
    found = identify(pid)
    assert found is not None
    process_id: str = api.create(pid=pid, create_time=found.create_time, **fields)["id"]
    return process_id


def kill(api: Api, process_id: str, **body: Any) -> dict[str, Any]:
    status, answer = api.request("POST", f"/api/processes/{process_id}/kill", body)
    assert status == 200, answer
    data: dict[str, Any] = answer["data"]
    return data


def kill_scope(api: Api, kind: str, expected: int = 200, dry_run: bool = False, grace: float = 5, **scope: Any) -> dict[str, Any]:
    body = {"scope": {"type": kind, **scope}, "dry_run": dry_run, "grace": grace}
    status, answer = api.request("POST", "/api/processes/kill", body)
    assert status == expected, answer
    data: dict[str, Any] = answer.get("data", answer)
    return data


def ids(items: list[dict[str, Any]]) -> set[str | None]:
    return {item["id"] for item in items}


def audit(exporter: RunningExporter) -> list[str]:
    return [line for line in exporter.output if "headway.audit" in line]


def actions(api: Api) -> dict[tuple[str, str], int]:
    page = api.raw("GET", "/metrics").text
    found = re.findall(r'headway_control_actions_total\{action="(\w+)",outcome="(\w+)"\} ([0-9.]+)', page)
    return {(action, outcome): int(float(count)) for action, outcome, count in found}


IDLE = "say('ready'); rest()"
