"""What a hook costs a coding agent: CPU and time of `headway hook` beside an empty Python, in turn, each a process of its own.

    python -m bench.hook [--calls 40] [--rounds 5]

Events of Claude Code as recorded in tests/hooks, written to the standard input as the agent does; the spool is emptied between
rounds, as an exporter would. CPU time is that of the process and what it started (wait4), the time from fork to exit. A figure of
a round is the median of its calls. Target: 30 ms of CPU more than an empty Python, for events of usual size; the one that writes
a file of a megabyte shows what reading so much adds. The other agents' commands differ in the event only.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from bench.harness import Report, parser

TARGET_MS: Final = 30.0
USUAL_SIZE: Final = 65_536
EVENTS: Final = Path(__file__).resolve().parent.parent / "tests" / "hooks" / "claude-code.json"
HEADWAY: Final = Path(sys.executable).with_name("headway")


class Case(NamedTuple):
    what: str
    command: Sequence[str]
    given: bytes
    of: str


def cases() -> list[Case]:
    recorded = {event["hook_event_name"]: event for event in json.loads(EVENTS.read_text(encoding="utf-8"))}
    tool = recorded["PreToolUse"]
    large = tool | {"tool_name": "Write", "tool_input": {"file_path": "/srv/a.txt", "content": "a line of a file\n" * 60_000}}
    hook = [str(HEADWAY), "hook", "claude-code"]
    return [
        Case("an empty Python", [sys.executable, "-c", "pass"], b"", "bound"),
        Case("hook: session start", hook, json.dumps(recorded["SessionStart"]).encode(), "headway"),
        Case("hook: tool call", hook, json.dumps(tool).encode(), "headway"),
        Case("hook: tool call with a file of 1 MB", hook, json.dumps(large).encode(), "headway"),
        Case("import json", [sys.executable, "-c", "import json"], b"", "bound"),
    ]


def spent(case: Case, environ: Mapping[str, str]) -> tuple[float, float]:
    """Milliseconds of CPU, and from its start to its end."""
    started = time.perf_counter()
    child = subprocess.Popen(case.command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=dict(environ))
    assert child.stdin is not None
    child.stdin.write(case.given)
    child.stdin.close()
    _, status, usage = os.wait4(child.pid, 0)
    took = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, case.what
    return (usage.ru_utime + usage.ru_stime) * 1e3, took * 1e3


def main(arguments: Sequence[str] | None = None) -> int:
    flags = parser(__doc__)
    flags.add_argument("--calls", type=int, default=40)
    options = flags.parse_args(arguments)
    report = Report("hook", f"A hook of a coding agent, {options.calls} calls a round")
    with tempfile.TemporaryDirectory() as folder:
        spool = Path(folder) / "spool"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("HEADWAY_")}
        environ["HEADWAY_SPOOL"] = str(spool)
        environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its bytecode: a developer's shell may forbid it
        for _ in range(options.rounds):
            figures: dict[str, list[tuple[float, float]]] = {}
            for _ in range(options.calls):
                for case in cases():
                    figures.setdefault(case.what, []).append(spent(case, environ))
            for path in spool.iterdir():
                path.unlink()
            empty = median(cpu for cpu, _ in figures["an empty Python"])
            for case in cases():
                cpu, took = (median(values) for values in zip(*figures[case.what], strict=True))
                report.add(f"{case.what}: CPU", "ms", cpu, of=case.of)
                report.add(f"{case.what}: time", "ms", took, of=case.of)
                if case.of == "headway":
                    target = TARGET_MS if len(case.given) < USUAL_SIZE else None
                    report.add(f"{case.what}: CPU over an empty Python", "ms", cpu - empty, target=target)
                    report.add(f"{case.what}: CPU in empty Pythons", "times", cpu / empty)
    return report.finish(options.results)


if __name__ == "__main__":
    sys.exit(main())
