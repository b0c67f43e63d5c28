"""Limits for the next run of a name, from its earlier ones: what nearly all of them kept within, and a margin. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from headway.analysis.history import NameKey, good_durations
from headway.analysis.numbers import quantile, rounded_up
from headway.cleaning import clean
from headway.durations import format_duration
from headway.model import Kind, Process, Status

SHARE: Final = 0.99
TIME_MARGIN: Final = 0.25
MEMORY_MARGIN: Final = 0.25
LEAST_RUNS: Final = 3
MIB: Final = 1 << 20
MEMORY_STEP: Final = 16 * MIB
# A loaded machine or a cold cache makes a short run many times as long; a run that hangs is still caught soon.
LEAST_TIME: Final = 10.0
# With fewer runs the largest is most of what p99 says; from the second figure on it is a quantile that was seen.
FAIR_RUNS: Final = 20
GOOD_RUNS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """`value` in seconds or bytes: `p99` of `runs` good runs and `margin` of it on top, rounded up, a time to LEAST_TIME at least;
    `most` was the largest.
    Trust: weak (the next run is beyond the largest of n with a chance of 1 in n + 1), fair from 20 runs on, good from 100."""

    value: float
    p99: float
    most: float
    margin: float
    runs: int
    trust: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """None: too little is known, see `reason`, which also tells where a limit is LEAST_TIME. `command`: how to run it so."""

    name: str
    kind: Kind
    runs: int
    expected_seconds: float | None
    timeout: Limit | None
    memory: Limit | None
    cpu_seconds: Limit | None
    command: str | None
    reason: str | None


def suggestion(key: NameKey, runs: Sequence[Process]) -> Suggestion:
    """From all good runs among these of one name."""
    good = [run for run in runs if run.status is Status.DONE]
    durations = good_durations(good)
    peaks = [float(u.peak_memory_bytes) for run in good if (u := run.usage) is not None and u.peak_memory_bytes]
    times = [u.cpu_seconds for run in good if (u := run.usage) is not None and u.cpu_seconds]
    timeout = _limit(durations, TIME_MARGIN, least=LEAST_TIME)
    memory = _limit(peaks, MEMORY_MARGIN, MEMORY_STEP)
    cpu = _limit(times, TIME_MARGIN, least=LEAST_TIME)
    name, kind = key
    reasons = []
    if any(limit is not None and limit.p99 * (1 + limit.margin) < LEAST_TIME for limit in (timeout, cpu)):
        reasons.append(f"no time below {LEAST_TIME:g} s is suggested: on a busy machine a short run may well take that long")
    if timeout is None:
        kept = "1 good run is kept" if len(durations) == 1 else f"{len(durations)} good runs are kept"
        reasons.append(f"{kept}; from {LEAST_RUNS} on there is something to go by")
    elif memory is None:
        reasons.append("memory and CPU are known of too few runs: of those that were sampled while they ran on the exporter's host")
    return Suggestion(
        name=name,
        kind=kind,
        runs=len(good),
        expected_seconds=quantile(sorted(durations), 0.5) if timeout is not None else None,
        timeout=timeout,
        memory=memory,
        cpu_seconds=cpu,
        command=None if timeout is None else _command(name, kind, timeout, memory, cpu),
        reason="; ".join(reasons) or None,
    )


def _limit(values: Sequence[float], margin: float, step: float = 0.0, least: float = 0.0) -> Limit | None:
    if len(values) < LEAST_RUNS:
        return None
    ordered = sorted(values)
    p99 = quantile(ordered, SHARE)
    raw = p99 * (1 + margin)
    value = max(least, -(-raw // step) * step if step else rounded_up(raw))
    trust = "good" if len(values) >= GOOD_RUNS else "fair" if len(values) >= FAIR_RUNS else "weak"
    return Limit(value=value, p99=p99, most=ordered[-1], margin=margin, runs=len(values), trust=trust)


def _command(name: str, kind: Kind, timeout: Limit, memory: Limit | None, cpu: Limit | None) -> str:
    """COMMAND stands for the command: one that somebody reported is not put into a line that people paste."""
    words = ["headway", "run", "--name", clean(name), "--type", kind.value, "--timeout", exact(timeout.value)]
    if memory is not None:
        words += ["--memory-limit", f"{memory.value / MIB:.0f}MiB"]
    if cpu is not None:
        words += ["--cpu-limit", exact(cpu.value)]
    return f"{shlex.join(words)} -- COMMAND"


def exact(seconds: float) -> str:
    """A duration that a flag reads as what it is."""
    if seconds < 60 or seconds % 1:
        return f"{seconds:g}s"
    return format_duration(seconds).replace(" ", "") if seconds < 3600 else f"{-(-seconds // 60):.0f}m"
