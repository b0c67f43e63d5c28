"""What tools answer: compact JSON without what is empty, cut to a bound, with what was cut and how to get it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from headway.cleaning import brief, clean
from headway.figures import count

Json = dict[str, Any]

# Characters of one answer: some 6,000 tokens.
MOST: Final = 20_000
LINE: Final = 500
TEXT: Final = 1_000
WORD: Final = 200
CHILDREN: Final = 20
_FACTS: Final = ("id", "name", "type", "status", "stage", "waiting_for", "project", "task", "agent", "group", "parent_id", "user")
_DETAILS: Final = (
    *("attempt", "description", "host", "pid", "os_state", "cwd", "executor", "cancellable", "cancel_requested"),
    *("waiting_since", "created_at", "started_at", "updated_at", "finished_at", "last_output_at", "last_progress_at"),
    *("expected_duration", "timeout", "exit_code", "signal", "blocked_by", "eta_range", "totals"),
)


def row(process: Mapping[str, Any]) -> Json:
    """A process as it stands in a list."""
    found = {fact: process.get(fact) for fact in _FACTS}
    found["progress"] = progress(process.get("progress") or {})
    found["rate_per_minute"] = rounded(process.get("rate"))
    found["seconds_left"] = rounded(process.get("eta_seconds"))
    found["elapsed_seconds"] = rounded(process.get("elapsed_seconds"))
    found["cpu_cores"] = rounded(process.get("cpu_ratio"))
    found["memory_bytes"] = process.get("memory_bytes")
    found["flags"] = [condition(one) for one in process.get("conditions") or ()]
    found["error"] = shortened(process.get("error"))
    found["summary"] = shortened(process.get("summary"))
    if not process.get("finished_at"):
        found["last_line"] = shortened((process.get("log_tail") or [None])[-1])
    return filled(found)


def page(process: Mapping[str, Any], log_lines: int) -> tuple[Json, dict[str, str]]:
    """One process in full, and how to get what of its lists may have to be cut."""
    found = row(process) | filled({fact: process.get(fact) for fact in _DETAILS})
    found.pop("last_line", None)
    for fact in ("error", "summary", "command"):
        found[fact] = shortened(process.get(fact), TEXT)
    metadata = json.dumps(process.get("metadata") or {}, ensure_ascii=False)
    found["metadata"] = process.get("metadata") if len(metadata) <= TEXT else f"{metadata[:TEXT]}… (cut)"
    found["history"] = [f"{one['at']} {one['from'] or 'new'} to {one['to']}: {one['cause']}" for one in process["transitions"]][
        -10:
    ]
    children = process.get("children") or []
    found["children"] = [row(child) for child in children[:CHILDREN]]
    lines = process.get("log_tail") or []
    found["log"] = [brief_line(line) for line in lines[-log_lines:]] if log_lines else []
    cut = {"children": f"list_processes with parent={process['id']} and state=all pages through all {len(children)}"}
    left = len(lines) - len(found["log"])
    cut["log"] = f"{left} earlier lines: show_process with log_lines up to 200, or the resource headway://process/{process['id']}"
    if left or len(children) > CHILDREN:
        found["cut"] = {name: how for name, how in cut.items() if (left if name == "log" else len(children) > CHILDREN)}
    return filled(found), cut


def condition(one: Mapping[str, Any]) -> str:
    """ "stuck (warning): no output for 5m"."""
    return shortened(f"{one['name']} ({one['severity']}): {one['reason']}") or ""


def progress(given: Mapping[str, Any]) -> str | None:
    """ "40/100 records (40%)", "864 MiB/3.00 GiB (28%)", "40%"; None without either."""
    text, ratio = count({"current": None, "total": None, "unit": None, **given}), given.get("ratio")
    share = "" if ratio is None else f"{int(ratio * 100)}%"
    return f"{text} ({share})" if text and share else text or share or None


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2 if abs(value) < 10 else 0)


def shortened(text: object, longest: int = WORD) -> str | None:
    return None if text in (None, "") else brief(text, longest)


def brief_line(line: str) -> str:
    found = clean(line)
    return found if len(found) <= LINE else f"{found[:LINE]}… ({len(found) - LINE} characters cut)"


def filled(found: Mapping[str, Any]) -> Json:
    """Without what is empty; 0 is a fact, false is not."""
    return {name: value for name, value in found.items() if value not in (None, "", [], {}) and value is not False}


def told(answer: Mapping[str, Any], cut: Mapping[str, str] | None = None) -> str:
    """The answer as a model reads it. Too long, its lists are cut, the longest first: logs at their beginning, others at their
    end. `cut`: for each list that may be, how to get the rest."""
    found = dict(answer)
    while len(text := json.dumps(found, ensure_ascii=False, separators=(",", ":"))) > MOST:
        lists = [name for name, value in found.items() if isinstance(value, list) and value]
        if not lists:
            return f"{text[:MOST]}… (cut at {MOST} characters)"
        name = max(lists, key=lambda one: len(json.dumps(found[one])))
        keep = len(found[name]) // 2
        found[name] = found[name][len(found[name]) - keep :] if name == "log" else found[name][:keep]
        how = (cut or {}).get(name, "ask for less at a time")
        found["cut"] = {**found.get("cut", {}), name: f"{keep} of {len(answer[name])} shown; {how}"}
    return text
