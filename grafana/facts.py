"""The families of the exporter that dashboards read, and the facts about processes that are made from them. Everything joins on
(instance, id); nothing else names a family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from grafana.promql import BY, ON, either
from headway.metrics.families import FAMILIES
from headway.model import Condition, Status

KNOWN: Final = frozenset(f.name for f in FAMILIES)


def metric(name: str) -> str:
    """The full name of a family of the exporter; KeyError when it has no such family."""
    full = f"headway_{name}"
    if full not in KNOWN:
        raise KeyError(full)
    return full


CODE: Final = metric("process_status_code")
INFO: Final = metric("process_info")
CREATED: Final = metric("process_created_timestamp_seconds")
START: Final = metric("process_start_timestamp_seconds")
FINISH: Final = metric("process_finish_timestamp_seconds")
LAST_OUTPUT: Final = metric("process_last_output_timestamp_seconds")
LAST_PROGRESS: Final = metric("process_last_progress_timestamp_seconds")
RATIO: Final = metric("process_progress_ratio")
DONE: Final = metric("process_items_done")
TOTAL: Final = metric("process_items_expected")
RATE: Final = metric("process_rate_items_per_second")
ETA: Final = metric("process_eta_seconds")
ETA_LOW: Final = metric("process_eta_low_seconds")
ETA_HIGH: Final = metric("process_eta_high_seconds")
EXPECTED_RUNS: Final = metric("process_expected_runs")
EXPECTED: Final = metric("process_expected_duration_seconds")
TIMEOUT: Final = metric("process_timeout_seconds")
SINK_RATIO: Final = metric("process_time_sink_ratio_threshold")
CPU: Final = metric("process_cpu_ratio")
MEMORY: Final = metric("process_resident_memory_bytes")
CONDITION: Final = metric("process_condition")
CONDITION_START: Final = metric("process_condition_start_timestamp_seconds")
BLOCKED_BY: Final = metric("process_blocked_by")
EXIT_CODE: Final = metric("process_exit_code")
RESULT: Final = metric("process_result_info")
DISMISSED: Final = metric("process_dismissed")
KILL_REQUESTED: Final = metric("process_kill_requested")
BUILD: Final = metric("build_info")

SERVICE: Final = metric("service_status_code")
RESTARTS: Final = metric("service_restarts_total")
NEXT_RUN: Final = metric("next_run_timestamp_seconds")
LAST_RUN: Final = metric("last_run_timestamp_seconds")
LAST_STATUS: Final = metric("last_status_code")
MISSED: Final = metric("missed_runs_total")
ETA_AT: Final = metric("process_eta_timestamp_seconds")
CPU_LIMIT: Final = metric("process_cpu_ratio_threshold")
CPU_WAIT: Final = metric("process_cpu_wait_seconds_total")
MEMORY_RATIO: Final = metric("process_memory_ratio")
MEMORY_LIMIT: Final = metric("process_memory_ratio_threshold")
READ: Final = metric("process_io_read_bytes_total")
WRITTEN: Final = metric("process_io_written_bytes_total")
THREADS: Final = metric("process_threads")
FILES: Final = metric("process_open_fds")
OS_PROCESSES: Final = metric("process_os_processes")
WAITING_INFO: Final = metric("process_waiting_info")
WAITING_LIMIT: Final = metric("process_waiting_threshold_seconds")
WAITING_SINCE: Final = metric("process_waiting_since_timestamp_seconds")
STUCK_LIMIT: Final = metric("process_stuck_threshold_seconds")
SINK_AFTER: Final = metric("process_time_sink_threshold_seconds")
SINK_CRITICAL: Final = metric("process_time_sink_critical_ratio_threshold")
COST: Final = metric("cost_dollars_total")
CPU_USED: Final = metric("cpu_seconds_total")
READ_BY_NAME: Final = metric("io_read_bytes_total")
WRITTEN_BY_NAME: Final = metric("io_written_bytes_total")
TOKENS_USED: Final = metric("tokens_total")
TOKENS: Final = metric("process_tokens_total")
OWN_COST: Final = metric("process_cost_dollars_total")
FINISHED: Final = metric("finished_total")
DURATION: Final = f"{metric('duration_seconds')}_bucket"
LAST_SUCCESS: Final = metric("last_success_timestamp_seconds")
TRIPS: Final = metric("gate_trips_total")
ZOMBIE_LIMIT: Final = metric("zombie_threshold_seconds")
FAILURE_LIMIT: Final = metric("failure_ratio_threshold")
FAILURE_RUNS: Final = metric("failure_runs_threshold")
FORESIGHT: Final = metric("memory_foresight_seconds")
SAMPLE_INTERVAL: Final = metric("sample_interval_seconds")
# Watchdog fires always.
FIRING: Final = 'ALERTS{alertstate="firing", alertname=~"Headway.*"}'
FOR_STATE: Final = 'ALERTS_FOR_STATE{alertname=~"Headway.*"}'


def firing_as(severity: str) -> str:
    return f'ALERTS{{alertstate="firing", alertname=~"Headway.*", severity="{severity}"}}'


def codes(which: Callable[[Status], bool]) -> str:
    """A pattern of the codes of these."""
    return "|".join(str(status.code) for status in Status if which(status))


ACTIVE: Final = codes(lambda status: not status.ended)
ENDED: Final = codes(lambda status: status.ended)
LISTED: Final = f"({CODE} unless {ON} {DISMISSED} == 1)"
# Killed as somebody wanted it, which needs nobody's attention.
AS_ASKED: Final = f"({KILL_REQUESTED} == 1)"

# ── what the recording rules of grafana/recording.py carry ──────────────────────────────────────────────────────────

# More than anybody reads; what a refresh costs grows with it. Those that failed may not crowd out what runs.
FAILED_ROWS: Final = 20
SHOWN_ROWS: Final = 80
# Of the dashboard Active.
ACTIVE_ROWS: Final = 200
LISTED_CODE: Final = "instance_id:headway_process_status_code:listed"
BAD_CODE: Final = "instance_id:headway_process_status_code:bad"
HELD: Final = "instance_id_name_condition:headway_process_condition_start_timestamp_seconds:max"
CODED: Final = "instance_id_code:headway_process_status_code:listed"
STATUS_COUNT: Final = "instance_code:headway_process_status_code:count"
CHILD: Final = "instance_id_parent_id:headway_process_info:listed"
ROOT: Final = "instance_id_root:headway_process_info:listed"
PREFIX: Final = "instance_id_prefix:headway_process_info:listed"
SCORE: Final = "instance_id:headway_process_score:max"
ALONE: Final = "instance_id:headway_process_order:alone"
IN_TREE: Final = "instance_id:headway_process_order:tree"
ROW: Final = "instance_id_code:headway_process_info:listed"
WAITED: Final = "instance_kind_name:headway_process_waiting_seconds:avg"
ENDED_AS: Final = "instance_id_name_text:headway_process_status_code:ended_as"
PROBLEM: Final = "instance_id_name_text:headway_process_problem:since"
TOP_SCALE: Final = "instance_id:headway_process_items_scale:top"
TOP_BAR: Final = "instance_id:headway_process_progress_bar:top"
TOP_BEHIND: Final = "instance_id_of:headway_process_info:top"
TOP_ACTIVE: Final = "instance_id_code:headway_process_info:top_active"
ACTIVE_START: Final = "instance_id:headway_process_start_timestamp_seconds:top_active"
TOP_TITLE: Final = "instance_id_title:headway_process_info:top"
TOP_RESULT: Final = "instance_id_result:headway_process_result_info:top"
SILENT_SINCE: Final = "instance_id:headway_process_silent_since_timestamp_seconds:stuck"
SINK_TIMES: Final = "instance_id:headway_process_expected_duration:times"
# Of the rules of the alerts.
ELAPSED_TIMES: Final = "instance_id:headway_process_elapsed_to_expected:ratio"
FORESEEN_TIMES: Final = "instance_id:headway_process_foreseen_to_expected:ratio"
SINK_FORESEEN: Final = "instance_id:headway_process_expected_duration:times_foreseen"


def top(family: str) -> str:
    """The values of the family for the rows that the Overview shows."""
    return f"instance_id:{family}:top"


TOP_ROW: Final = "instance_id_code:headway_process_info:top"
# What changes from refresh to refresh, and what stays, mostly.
COPIED: Final = (CODE, RATIO, DONE, RATE, ETA, CPU, MEMORY)
COPIED_SELDOM: Final = (START, FINISH, TOTAL)

# Each exporter says where its own pages are; without that a row is still shown, only its links lead nowhere.
_ADDRESSES: Final = f"max by (instance, external_url) ({BUILD} or on (instance) count by (instance) ({STATUS_COUNT}) ^ 0)"
ADDRESS: Final = f"on (instance) group_left (external_url) {_ADDRESSES}"

# Twice a minute, for graphs and tables over hours: of each process (`key` is its instance and its id), and of each name.
SEEN: Final = "instance_id_code:headway_process_info:seen"
LONG_ENDED: Final = "instance_id:headway_process_finish_timestamp_seconds:known_earlier"
SEEN_FINISH: Final = "key:headway_process_finish_timestamp_seconds:seen"
SEEN_RATIO: Final = "key:headway_process_progress_ratio:seen"
SEEN_TOOK: Final = "key:headway_process_duration_seconds:seen"
WAS_ACTIVE: Final = "key:headway_process_status_code:was_active"


PAST_INTERVAL: Final = "30s"
# For so long what has ended is still recorded; longer than any rule of that interval can be late.
LATE: Final = "2m"
# What trends are made of → the labels that stay beside those of the name.
OF_NAME: Final[dict[str, tuple[str, ...]]] = {
    FINISHED: ("outcome",),
    DURATION: ("le",),
    TRIPS: ("gate",),
    COST: (),
    CPU_USED: (),
    READ_BY_NAME: (),
    WRITTEN_BY_NAME: (),
    TOKENS_USED: (),
    CPU: (),
    MEMORY: (),
    TOKENS: ("direction",),
}
OF_ALL: Final = {family: OF_NAME[family] for family in (FINISHED, DURATION, TRIPS)}


def by_name(family: str) -> str:
    """The values of the family summed by name and kind; the other labels of the family stay."""
    return f"instance_kind_name:{family}:sum"


def of_all(family: str) -> str:
    """Its values summed over all names; the other labels of the family stay."""
    return f"instance:{family}:sum_of_names"


# ── vectors with instance and id ────────────────────────────────────────────────────────────────────────────────────


def held(which: Condition) -> str:
    return f'{HELD}{{condition="{which.value}"}}'


def bad(which: Status) -> str:
    return f"{BAD_CODE} == {which.code}"


STUCK, SINK, NECK, OVERDUE, ZOMBIE, DUPLICATE, WAITING = (held(c) for c in Condition)
BLOCKS: Final = f'label_join(count by (instance, blocker_id) ({BLOCKED_BY} == 1), "id", "", "blocker_id")'
WAITERS: Final = f"({BLOCKS} and {ON} {NECK})"
ELAPSED: Final = f"({either(FINISH, f'time() + 0 * {START}')} - {ON} {START})"


def by_row(expr: str) -> str:
    return f"max {BY} ({expr})"
