"""How a process is created: what the script said about it, and what is known of the OS process that it runs in."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from headway.durations import parse_duration
from headway.ids import check_id
from headway.labels import blank
from headway.reporter import values

KINDS: Final = ("subagent", "pipeline", "cron", "daemon", "task")
_LABELS: Final = ("user", "project", "task", "attempt", "agent", "group", "stage", "host")
_DURATIONS: Final = ("expected_duration", "timeout", "lease")
_THRESHOLDS: Final = ("stuck_after", "time_sink_ratio", "time_sink_after", "cpu_ratio", "memory_ratio", "waiting_after")

Complain = Callable[[str, object], None]
"""Takes the field and why its value is ignored."""


def creation(given: Mapping[str, Any], complain: Complain) -> dict[str, Any]:
    """The fields of a creation from what the script gave; wrong ones are left out, each with a complaint. Never raises."""
    body: dict[str, Any] = {}
    for field, value in given.items():
        if value is None:
            continue
        if field == "progress":
            if progress := _progress(value, complain):
                body[field] = progress
            continue
        try:
            body[field] = _accepted(field, value)
        except Exception as error:
            complain(field, error)
    body.setdefault("name", "unnamed")
    body.setdefault("type", "task")
    return body


def _accepted(field: str, value: Any) -> Any:
    if field == "type":
        return kind(value)
    if field == "name":
        if blank(found := values.text(value, values.MAX_NAME)):
            raise values.WrongValue("it is blank; it is reported as 'unnamed'")
        return found
    if field in _LABELS:
        if isinstance(value, Mapping | list | tuple | set | frozenset):
            raise values.WrongValue(f"{values.brief(value)} is not a text")
        return values.text(value, values.MAX_LABEL)
    if field in ("description", "cwd"):
        return values.text(value, values.MAX_TEXT)
    if field == "command":
        return values.text(value if isinstance(value, str) else shell_words(value), values.MAX_COMMAND)
    if field == "parent_id":
        return check_id(str(value))
    if field in _DURATIONS:
        return duration(value)
    if field == "thresholds":
        return thresholds(value)
    if field == "metadata":
        return metadata(value)
    if field in ("executor", "cancellable"):
        return bool(value)
    return value


def _progress(given: Mapping[str, Any], complain: Complain) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part, value in given.items():
        try:
            found[part] = values.text(value, values.MAX_UNIT) if part == "unit" else values.count(value)
        except Exception as error:
            complain(part, error)
    return found


def kind(value: object) -> str:
    word = str(value).lower()
    if word not in KINDS:
        raise values.WrongValue(f"{values.brief(value)} is none of {', '.join(KINDS)}; it is reported as a task")
    return word


def duration(value: Any) -> float:
    return parse_duration(value if isinstance(value, str) else values.number(value))


def thresholds(value: Any) -> dict[str, float]:
    unknown = sorted(str(name) for name in value if name not in _THRESHOLDS)
    if unknown:
        raise values.WrongValue(f"unknown {', '.join(unknown)}; known are {', '.join(_THRESHOLDS)}")
    return {n: duration(v) if n.endswith("_after") else float(values.number(v)) for n, v in value.items() if v is not None}


def metadata(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise values.WrongValue(f"{values.brief(value)} is not a mapping")
    found: dict[str, Any] = values.plain(value)
    return found


def shell_words(words: Any) -> str:
    import shlex

    return shlex.join(str(word) for word in words)


# ── the OS process ──────────────────────────────────────────────────────────────────────────────────────────────────


def check_pid(value: object) -> int:
    """A number that an OS process can have. Raises WrongValue."""
    found = values.number(value)
    if found != int(found) or not 1 <= found <= 2**22:
        raise values.WrongValue(f"{values.brief(value)} is no pid")
    return int(found)


def identity(pid: int | None = None, proc: str = "/proc") -> dict[str, Any]:
    """What tells this OS process (or the one with this pid) from every other: pid, its create time (unix s), pid namespace, host.

    What cannot be read is left out; an exporter then relies on the lease.
    """
    pid = os.getpid() if pid is None else pid
    found: dict[str, Any] = {"pid": pid, "host": os.uname().nodename if hasattr(os, "uname") else None}
    try:
        found["create_time"] = create_time(pid, proc)
        found["pid_namespace"] = Path(proc, str(pid), "ns/pid").stat().st_ino
    except (OSError, ValueError):
        if _missing(pid):  # said with the namespace in which that is so, an exporter there need not wait for its lease
            found["pid_namespace"] = _own_namespace(proc)
    return {field: value for field, value in found.items() if value is not None}


def _missing(pid: int) -> bool:
    """Whether no OS process has this pid; one that is only hidden answers otherwise."""
    try:
        if pid > 0:
            os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError, TypeError):
        pass
    return False


def _own_namespace(proc: str) -> int | None:
    try:
        return Path(proc, "self/ns/pid").stat().st_ino
    except OSError:
        return None


def create_time(pid: int, proc: str = "/proc") -> float:
    """Unix seconds at which this OS process began: the boot time and field 22 of its stat, as psutil does. Raises OSError or
    ValueError when it cannot be read."""
    stat = Path(proc, str(pid), "stat").read_bytes()
    # The command name before it may contain anything, ) and spaces too: fields are counted from the last ).
    ticks = int(stat[stat.rindex(b")") + 2 :].split()[19])
    for line in Path(proc, "stat").read_bytes().splitlines():
        if line.startswith(b"btime "):
            return int(line.split()[1]) + ticks / os.sysconf("SC_CLK_TCK")
    raise ValueError("no boot time")


def surroundings() -> dict[str, Any]:
    """The command line of this process and whose it is. Never the environment: it holds secrets."""
    found: dict[str, Any] = {"command": shell_words(sys.orig_argv), "user": _user()}
    return {field: value for field, value in found.items() if value}


def _user() -> str | None:
    try:
        import pwd

        return pwd.getpwuid(os.geteuid()).pw_name
    except (ImportError, KeyError, AttributeError):
        return os.environ.get("USER") or os.environ.get("USERNAME")
