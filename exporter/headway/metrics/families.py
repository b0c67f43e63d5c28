"""FAMILIES: every metric family of the exporter, declared once. The page, docs/metrics.md and the checks of rules and dashboards
all read this table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import lru_cache
from itertools import accumulate
from operator import attrgetter
from typing import Any, Final

from headway.metrics.family import Family, Rows, Scope, Shown, Type
from headway.metrics.host import HOST_FAMILIES, NAME_CONDITION, NAME_FAILURE_RATIO
from headway.metrics.own_families import OWN_FAMILIES
from headway.metrics.services import SCHEDULE_FAMILIES, SERVICE_FAMILIES
from headway.metrics.shipping import SHIPPING_FAMILIES
from headway.model import Condition, Killed, Process, Status
from headway.names import DURATION_BUCKETS, OUTCOMES, NameStats
from headway.own_values import finite, own_values
from headway.repetition import due_at
from headway.samples import Sample
from headway.view import View

RESULT_LENGTH: Final = 160
INFO_LABELS: Final = ("user", "project", "task", "attempt", "agent", "group", "parent_id", "pid", "unit")
# Labels of the histogram's buckets, written as OpenMetrics wants numbers in labels: always with a fraction.
BUCKET_LABELS: Final = (*(repr(float(bound)) for bound in DURATION_BUCKETS), "+Inf")

# ── reading a view ──────────────────────────────────────────────────────────────────────────────────────────────────


def stable_part(view: View) -> tuple[object, ...]:
    """All that families which are not volatile depend on; as long as this is equal, their lines stay as they are."""
    process = view.process
    activity = process.activity
    return (
        process.spec,
        process.state,
        process.metadata,
        process.dismissed_at,
        view.limits,
        view.expected_duration,
        view.expected_runs,
        activity.unit,
        activity.summary,
        activity.waiting,
    )


def _info(view: View) -> Rows:
    spec = view.process.spec
    pid = "" if spec.os_process is None else str(spec.os_process.pid)
    belongs = (spec.user, spec.project, spec.task, spec.attempt, spec.agent, spec.group, spec.parent_id)
    return (("", (*(text or "" for text in belongs), pid, view.process.activity.unit or ""), 1),)


def _eta_at(view: View) -> float | None:
    return None if view.eta is None else view.now + view.eta


# Of who was not sampled nothing is known.
_NO_SAMPLE: Final = Sample(at=0.0, alive=False)


def _sample(view: View) -> Sample:
    return view.sample or _NO_SAMPLE


@lru_cache(maxsize=256)
def _condition_rows(held: tuple[Condition, ...]) -> Rows:
    """The same object for all processes of which the same holds: they are written once."""
    return tuple(("", (condition.value,), int(condition in held)) for condition in Condition)


def _conditions(view: View) -> Rows:
    return _condition_rows(tuple([report.condition for report in view.conditions]))


def _condition_starts(view: View) -> Rows:
    return tuple(("", (report.condition.value,), report.since) for report in view.conditions)


def _waiting_since(view: View) -> float | None:
    waiting = view.process.waiting
    return None if waiting is None else waiting.since


def _waiting(view: View) -> Rows:
    waiting = view.process.waiting
    return () if waiting is None else (("", (waiting.what,), 1),)


def _blockers(view: View) -> Rows:
    return tuple(("", (blocker,), 1) for blocker in dict.fromkeys(view.blocked_by))


def _amount(value: Any) -> float | None:
    """A number out of free metadata: finite and not negative, else None."""
    number = finite(value)
    return number if number is not None and number >= 0 else None


def _kill_requested(view: View) -> int | None:
    state = view.process.state
    return int(state.requested) if isinstance(state, Killed) else None


def _tokens(view: View) -> Rows:
    """metadata.tokens.input and .output, or metadata.tokens_in and .tokens_out."""
    metadata = view.process.metadata
    if not metadata:
        return ()
    nested = metadata.get("tokens")
    tokens: Mapping[str, Any] = nested if isinstance(nested, Mapping) else {}
    found = (
        ("input", _amount(tokens.get("input", metadata.get("tokens_in")))),
        ("output", _amount(tokens.get("output", metadata.get("tokens_out")))),
    )
    return tuple(("", (direction,), amount) for direction, amount in found if amount is not None)


def _values(view: View) -> Rows:
    return _value_rows(own_values(view.process.metadata))


def _value_rows(values: Mapping[str, float]) -> Rows:
    return tuple(("", (key,), number) for key, number in values.items())


def result_text(process: Process) -> str:
    """What came of an ended process, on one line of at most 160 characters: its error unless it is done, else its summary."""
    text = process.activity.summary if process.status is Status.DONE else process.error or process.activity.summary
    line = " ".join((text or "")[: 4 * RESULT_LENGTH].split())
    return line if len(line) <= RESULT_LENGTH else line[: RESULT_LENGTH - 1].rstrip() + "…"


def _result(view: View) -> Rows:
    text = result_text(view.process)
    return (("", (text,), 1),) if text else ()


# ── reading the totals of a name ────────────────────────────────────────────────────────────────────────────────────


# The same of totals of a name: what its processes use changes while all of this stays as it is.
lasting_part: Final[Callable[[NameStats], object]] = attrgetter(*(f.name for f in fields(NameStats) if f.name != "used"))


def _finished(stats: NameStats) -> Rows:
    return tuple(("", (outcome.value,), stats.finished.get(outcome, 0)) for outcome in OUTCOMES)


def _durations(stats: NameStats) -> Rows:
    counts = tuple(accumulate(stats.duration_counts))
    buckets = tuple(("_bucket", (bound,), count) for bound, count in zip(BUCKET_LABELS, counts, strict=True))
    return (*buckets, ("_sum", (), stats.duration_sum), ("_count", (), counts[-1]))


def _recent(stats: NameStats) -> Rows:
    bad = sum(failed for _, failed in stats.recent)
    return (("", ("good",), len(stats.recent) - bad), ("", ("bad",), bad)) if stats.recent else ()


def _gate_trips(stats: NameStats) -> Rows:
    gates = dict.fromkeys((*(condition.value for condition in Condition), *sorted(stats.gate_trips)))
    return tuple(("", (gate,), stats.gate_trips.get(gate, 0)) for gate in gates)


def _name_tokens(stats: NameStats) -> Rows:
    return (("", ("input",), stats.used.tokens_input), ("", ("output",), stats.used.tokens_output))


def _last_status(stats: NameStats) -> int | None:
    return None if stats.last_status is None else stats.last_status.code


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────────────

P, N, T = Scope.PROCESS, Scope.NAME, Scope.TOTAL
G, C, H, I = Type.GAUGE, Type.COUNTER, Type.HISTOGRAM, Type.INFO  # noqa: E741
LIVE, END = Shown.ACTIVE, Shown.ENDED
S, B, R = "seconds", "bytes", "ratio"

# fmt: off
PROCESS_FAMILIES: Final[tuple[Family, ...]] = (
    Family(name="headway_process_info", type=I, scope=P, labels=INFO_LABELS, rows=_info,
           help="What a process is and belongs to; the value is always 1. A label without a value is left out."),
    Family(name="headway_process_status_code", type=G, scope=P, value=lambda v: v.process.status.code,
           help="Status of a process: 1 queued, 2 starting, 3 running, 4 paused, 5 stopping, 10 done, 11 failed, 12 cancelled, "
                "13 killed, 14 timed_out, 15 orphaned."),
    Family(name="headway_process_progress_ratio", type=G, scope=P, unit=R, volatile=True,
           value=lambda v: v.process.progress_ratio, help="Share of the work that is done, from 0 to 1."),
    Family(name="headway_process_items_done", type=G, scope=P, volatile=True,
           value=attrgetter("process.activity.current"), help="Items done so far, in the unit of headway_process_info."),
    Family(name="headway_process_items_expected", type=G, scope=P, volatile=True,
           value=attrgetter("process.activity.total"), help="Items there are in all, as far as the process knows."),
    Family(name="headway_process_rate_items_per_second", type=G, scope=P, unit="items_per_second", shown=LIVE, volatile=True,
           value=attrgetter("rate"), help="Items done per second at present."),
    Family(name="headway_process_eta_seconds", type=G, scope=P, unit=S, shown=LIVE, volatile=True,
           value=attrgetter("eta"), help="Time that is probably left until the end."),
    Family(name="headway_process_eta_low_seconds", type=G, scope=P, unit=S, shown=LIVE, volatile=True,
           value=lambda v: None if v.eta_range is None else v.eta_range[0],
           help="Time that is left at least: it takes less in one of ten cases. Absent where the reporter gives its own estimate."),
    Family(name="headway_process_eta_high_seconds", type=G, scope=P, unit=S, shown=LIVE, volatile=True,
           value=lambda v: None if v.eta_range is None else v.eta_range[1],
           help="Time that is left at most: it takes more in one of ten cases. Absent where the reporter gives its own estimate."),
    Family(name="headway_process_eta_timestamp_seconds", type=G, scope=P, unit=S, shown=LIVE, volatile=True,
           value=_eta_at, help="When the process will probably end (unix time)."),
    Family(name="headway_process_created_timestamp_seconds", type=G, scope=P, unit=S,
           value=lambda v: v.process.spec.created_at, help="When the process was made known to Headway (unix time)."),
    Family(name="headway_process_start_timestamp_seconds", type=G, scope=P, unit=S,
           value=lambda v: v.process.started_at, help="When the process started (unix time)."),
    Family(name="headway_process_resume_timestamp_seconds", type=G, scope=P, unit=S, shown=LIVE,
           value=lambda v: v.process.resumed_at,
           help="Since when the process runs again after a pause, or after it waited for a person (unix time); absent for others."),
    Family(name="headway_process_waiting_since_timestamp_seconds", type=G, scope=P, unit=S, shown=LIVE, value=_waiting_since,
           help="Since when the process waits for a person, as it says itself (unix time); absent for all others."),
    Family(name="headway_process_waiting_info", type=I, scope=P, labels=("text",), shown=LIVE, rows=_waiting,
           help="What a person is to do before the process goes on, one line of at most 160 characters; always 1, and absent for "
                "all that wait for nobody."),
    Family(name="headway_process_update_timestamp_seconds", type=G, scope=P, unit=S, volatile=True,
           value=attrgetter("process.activity.updated_at"), help="When the process last reported anything (unix time)."),
    Family(name="headway_process_last_output_timestamp_seconds", type=G, scope=P, unit=S, volatile=True,
           value=attrgetter("process.activity.last_output_at"), help="When the process last wrote a line (unix time)."),
    Family(name="headway_process_last_progress_timestamp_seconds", type=G, scope=P, unit=S, volatile=True,
           value=attrgetter("process.activity.last_progress_at"), help="When the process last got further (unix time)."),
    Family(name="headway_process_finish_timestamp_seconds", type=G, scope=P, unit=S, shown=END,
           value=lambda v: v.process.finished_at, help="When the process ended (unix time)."),
    Family(name="headway_process_expected_duration_seconds", type=G, scope=P, unit=S, shown=LIVE,
           value=lambda v: v.expected_duration,
           help="How long the process should take: declared, or the median of the last good ends of its name."),
    Family(name="headway_process_expected_runs", type=G, scope=P, shown=LIVE, value=lambda v: v.expected_runs,
           help="On how many earlier runs the expected duration rests; absent where it was declared."),
    Family(name="headway_process_timeout_seconds", type=G, scope=P, unit=S, shown=LIVE,
           value=lambda v: v.process.spec.timeout, help="How long the process may take at most."),
    Family(name="headway_process_stuck_threshold_seconds", type=G, scope=P, unit=S, shown=LIVE,
           value=lambda v: v.limits.stuck_after,
           help="Silence after which the process counts as stuck; absent where the gate is off."),
    Family(name="headway_process_time_sink_ratio_threshold", type=G, scope=P, shown=LIVE,
           value=lambda v: v.limits.time_sink_ratio,
           help="Multiple of the expected duration from which the process is a time sink."),
    Family(name="headway_process_time_sink_critical_ratio_threshold", type=G, scope=P, shown=LIVE,
           value=lambda v: v.limits.time_sink_critical_ratio, help="The same, from which it is critical."),
    Family(name="headway_process_time_sink_threshold_seconds", type=G, scope=P, unit=S, shown=LIVE,
           value=lambda v: None if v.expected_runs is None else v.limits.time_sink_after,
           help="Running for less it is no time sink; absent where the expected duration was declared, which counts as it is."),
    Family(name="headway_process_cpu_ratio_threshold", type=G, scope=P, shown=LIVE,
           value=lambda v: v.limits.cpu_ratio, help="CPU use (1 = one core) from which the process can be a bottleneck."),
    Family(name="headway_process_memory_ratio_threshold", type=G, scope=P, shown=LIVE,
           value=lambda v: v.limits.memory_ratio, help="Share of the memory from which the process can be a bottleneck."),
    Family(name="headway_process_waiting_threshold_seconds", type=G, scope=P, unit=S, shown=LIVE,
           value=lambda v: v.limits.waiting_after,
           help="How long the process may wait for a person before it needs one; absent where the gate is off."),
    Family(name="headway_process_cpu_seconds_total", type=C, scope=P, unit=S, shown=LIVE, volatile=True,
           of=_sample, value=attrgetter("cpu_seconds"),
           help="CPU time that the whole tree of OS processes has used, ended children included."),
    Family(name="headway_process_cpu_ratio", type=G, scope=P, unit=R, shown=LIVE, volatile=True,
           of=_sample, value=attrgetter("cpu_ratio"),
           help="CPU use of the whole tree between the last two samples; 1 is one core."),
    Family(name="headway_process_cpu_wait_seconds_total", type=C, scope=P, unit=S, shown=LIVE, volatile=True,
           of=_sample, value=attrgetter("cpu_wait_seconds"),
           help="Time that the threads of the tree were ready to run and had no CPU."),
    Family(name="headway_process_resident_memory_bytes", type=G, scope=P, unit=B, shown=LIVE, volatile=True,
           of=_sample, value=attrgetter("resident_bytes"),
           help="Resident memory of the whole tree; shared pages count once for each OS process."),
    Family(name="headway_process_proportional_memory_bytes", type=G, scope=P, unit=B, shown=LIVE, volatile=True,
           of=_sample, value=attrgetter("proportional_bytes"),
           help="Memory of the whole tree with shared pages divided among those who share them (PSS); only with memory_pss."),
    Family(name="headway_process_memory_ratio", type=G, scope=P, unit=R, shown=LIVE, volatile=True,
           of=_sample, value=attrgetter("memory_ratio"),
           help="Memory as a share of what the host, or the cgroup of the process, has: proportional where that is measured, else "
                "resident."),
    Family(name="headway_process_io_read_bytes_total", type=C, scope=P, unit=B, shown=LIVE, volatile=True,
           of=_sample, value=attrgetter("io_read_bytes"), help="Bytes that the tree caused to be read from storage."),
    Family(name="headway_process_io_written_bytes_total", type=C, scope=P, unit=B, shown=LIVE, volatile=True,
           of=_sample, value=attrgetter("io_written_bytes"), help="Bytes that the tree caused to be written to storage."),
    Family(name="headway_process_major_page_faults_total", type=C, scope=P, shown=LIVE, volatile=True,
           of=_sample, value=attrgetter("major_faults"),
           help="Page faults of the tree for which the disk had to be read, ended children included."),
    Family(name="headway_process_threads", type=G, scope=P, shown=LIVE, volatile=True,
           of=_sample, value=attrgetter("threads"), help="Threads of the whole tree."),
    Family(name="headway_process_open_fds", type=G, scope=P, shown=LIVE, volatile=True,
           of=_sample, value=attrgetter("open_fds"), help="Open file descriptors of the whole tree."),
    Family(name="headway_process_os_processes", type=G, scope=P, shown=LIVE, volatile=True,
           of=_sample, value=attrgetter("os_processes"), help="OS processes in the tree."),
    Family(name="headway_process_quiet_since_timestamp_seconds", type=G, scope=P, unit=S, shown=LIVE, volatile=True,
           of=_sample, value=attrgetter("quiet_since"),
           help="Since when CPU and I/O of the tree are quiet (unix time); absent when not."),
    Family(name="headway_process_zombie_since_timestamp_seconds", type=G, scope=P, unit=S, shown=LIVE, volatile=True,
           of=_sample, value=attrgetter("zombie_since"),
           help="Since when its OS process has ended and was not reaped by its parent (unix time); absent for all others."),
    Family(name="headway_process_condition", type=G, scope=P, labels=("condition",), shown=LIVE, volatile=True, rows=_conditions,
           help="Whether a condition holds: stuck, time_sink, bottleneck, overdue, zombie, duplicate, "
                "waiting (1 yes, 0 no)."),
    Family(name="headway_process_condition_start_timestamp_seconds", type=G, scope=P, unit=S, labels=("condition",), shown=LIVE,
           volatile=True, rows=_condition_starts, help="Since when a condition holds (unix time); absent when it does not."),
    Family(name="headway_process_blocked_by", type=G, scope=P, labels=("blocker_id",), shown=LIVE, volatile=True, rows=_blockers,
           help="1 for each process, named by blocker_id, that this one has to wait for."),
    Family(name="headway_process_exit_code", type=G, scope=P, shown=END,
           value=lambda v: v.process.exit_code, help="Exit code of a process that ended."),
    Family(name="headway_process_kill_requested", type=G, scope=P, shown=END, value=_kill_requested,
           help="Whether a process that was killed was so on request, through Headway (1 yes, 0 no); absent for all others."),
    Family(name="headway_process_result_info", type=I, scope=P, labels=("text",), shown=END, rows=_result,
           help="What came of a process that ended: its summary or its error, one line, cut at 160 characters; always 1."),
    Family(name="headway_process_tokens_total", type=C, scope=P, unit="tokens", labels=("direction",), shown=LIVE, rows=_tokens,
           help="Tokens that the process says it used: metadata.tokens.input and .output, or metadata.tokens_in and .tokens_out."),
    Family(name="headway_process_cost_dollars_total", type=C, scope=P, unit="dollars", shown=LIVE,
           value=lambda v: _amount(v.process.metadata.get("cost_dollars")) if v.cost is None else v.cost,
           help="What the process cost so far: metadata.cost_dollars, else its tokens at the price of metadata.model (prices)."),
    Family(name="headway_process_value", type=G, scope=P, labels=("key",), rows=_values,
           help="Numbers of its own that the process reports: metadata.values, at most 16."),
    Family(name="headway_process_retry_timestamp_seconds", type=G, scope=P, unit=S, shown=END, value=lambda v: due_at(v.process),
           help="When a process that failed is to be run again, as who runs it says (unix time); absent for all others."),
    Family(name="headway_process_dismissed", type=G, scope=P, shown=END,
           value=lambda v: int(v.process.dismissed_at is not None),
           help="Whether someone dismissed the ended process (1 yes, 0 no)."),
)

NAME_FAMILIES: Final[tuple[Family, ...]] = (
    Family(name="headway_finished_total", type=C, scope=N, labels=("outcome",), rows=_finished,
           help="Processes of this name that ended, by outcome; there from 0 on for each outcome."),
    Family(name="headway_duration_seconds", type=H, scope=N, unit=S, labels=("le",), rows=_durations,
           help="How long processes of this name took from start to end."),
    Family(name="headway_last_success_timestamp_seconds", type=G, scope=N, unit=S, value=lambda s: s.last_success_at,
           help="When a process of this name was last done (unix time)."),
    Family(name="headway_last_status_code", type=G, scope=N, value=_last_status,
           help="Status of the process of this name that ended last; codes as in headway_process_status_code."),
    Family(name="headway_last_finish_timestamp_seconds", type=G, scope=N, unit=S,
           value=lambda s: None if s.last_run is None else s.last_run.finished_at,
           help="When the last run of this name ended, of those that had begun (unix time)."),
    Family(name="headway_last_duration_seconds", type=G, scope=N, unit=S,
           value=lambda s: None if s.last_run is None else s.last_run.duration,
           help="How long the run of this name took that ended last."),
    Family(name="headway_last_value", type=G, scope=N, labels=("key",),
           rows=lambda s: () if s.last_run is None else _value_rows(s.last_run.values),
           help="Numbers of its own that the run of this name had reported that ended last: metadata.values, at most 16; "
                "kept until the next one ends."),
    Family(name="headway_recent_runs", type=G, scope=N, labels=("outcome",), rows=_recent,
           help="How the latest runs of this name ended that count for its failure rate (at most 20, those within "
                "failure_rate_window): good or bad."),
    Family(name="headway_cost_dollars_total", type=C, scope=N, unit="dollars", value=lambda s: s.cost_dollars,
           help="What ended processes of this name cost, as far as it is known; there from 0 on."),
    Family(name="headway_cpu_seconds_total", type=C, scope=N, unit=S, volatile=True, value=attrgetter("used.cpu_seconds"),
           help="CPU time that processes of this name used, with their trees; counted every 10 s and at the end, there from 0 on."),
    Family(name="headway_io_read_bytes_total", type=C, scope=N, unit=B, volatile=True, value=attrgetter("used.io_read_bytes"),
           help="Bytes that processes of this name caused to be read from storage; counted as the CPU time is."),
    Family(name="headway_io_written_bytes_total", type=C, scope=N, unit=B, volatile=True,
           value=attrgetter("used.io_written_bytes"),
           help="Bytes that processes of this name caused to be written to storage; counted as the CPU time is."),
    Family(name="headway_tokens_total", type=C, scope=N, unit="tokens", labels=("direction",), volatile=True, rows=_name_tokens,
           help="Tokens that processes of this name said they used, by direction; counted as the CPU time is."),
    Family(name="headway_gate_trips_total", type=C, scope=N, labels=("gate",), rows=_gate_trips,
           help="How often a condition began to hold for a process of this name, by gate; there from 0 on."),
)

TOTAL_FAMILIES: Final[tuple[Family, ...]] = (
    Family(name="headway_processes", type=G, scope=T, labels=("status",),
           help="Processes that are kept, by status; ended ones include the history."),
    Family(name="headway_project_cost_dollars_total", type=C, scope=T, unit="dollars", labels=("project",),
           help="What processes of this project cost that ended, as far as it is known; at most 100 "
                "projects, the rest count as other."),
    Family(name="headway_processes_dropped_total", type=C, scope=T,
           help="Processes without series of their own, because max_processes others had theirs."),
    Family(name="headway_names_dropped_total", type=C, scope=T,
           help="Names that are counted under the name other, because max_names others have series of their own."),
)
# fmt: on

FAMILIES: Final[tuple[Family, ...]] = (
    *PROCESS_FAMILIES,
    *NAME_FAMILIES,
    *TOTAL_FAMILIES,
    NAME_CONDITION,
    NAME_FAILURE_RATIO,
    *HOST_FAMILIES,
    *SERVICE_FAMILIES,
    *SHIPPING_FAMILIES,
    *SCHEDULE_FAMILIES,
    *OWN_FAMILIES,
)
