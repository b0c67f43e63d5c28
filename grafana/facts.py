"""The families of the exporter that dashboards read, and the facts about processes that are made from them. Everything joins on
(instance, id); nothing else names a family."""

from __future__ import annotations

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
STUCK_LIMIT: Final = metric("process_stuck_threshold_seconds")
SINK_CRITICAL: Final = metric("process_time_sink_critical_ratio_threshold")
COST: Final = metric("cost_dollars_total")
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


LISTED: Final = f"({CODE} unless {ON} {DISMISSED} == 1)"
ENDED_BADLY: Final = f"({CODE} > {Status.DONE.code} != {Status.CANCELLED.code})"

# Each exporter says where its own pages are; without that a row is still shown, only its links lead nowhere.
_ADDRESSES: Final = f"max by (instance, external_url) ({BUILD} or on (instance) 0 * max by (instance) ({CODE}) + 1)"
ADDRESS: Final = f"on (instance) group_left (external_url) {_ADDRESSES}"

# ── what the recording rules of grafana/recording.py carry ──────────────────────────────────────────────────────────

SHOWN_ROWS: Final = 100  # more than anybody reads; what a refresh costs grows with it
LISTED_CODE: Final = "instance_id:headway_process_status_code:listed"
BAD_CODE: Final = "instance_id:headway_process_status_code:bad"
HELD: Final = "instance_id_condition:headway_process_condition:held"
STATUS_COUNT: Final = "instance_code:headway_process_status_code:count"
CHILD: Final = "instance_id_parent_id:headway_process_info:listed"
ROOT: Final = "instance_id_root:headway_process_info:listed"
STAGE: Final = "instance_id:headway_process_stage:listed"
SCORE: Final = "instance_id:headway_process_score:max"
ALONE: Final = "instance_id:headway_process_order:alone"
ORDER: Final = "instance_id:headway_process_order:max"
TITLE: Final = "instance_id_title:headway_process_info:listed"
WAITED: Final = "instance_kind_name:headway_process_waiting_seconds:avg"
ENDED_AS: Final = "instance_id_text:headway_process_status_code:ended_as"
PROBLEM: Final = "instance_id_text:headway_process_problem:since"
TOP_SCALE: Final = "instance_id:headway_process_items_thousands:top"
TOP_TITLE: Final = "instance_id_title:headway_process_info:top"
TOP_RESULT: Final = "instance_id_result:headway_process_result_info:top"
TOP_UNIT: Final = "instance_id_of:headway_process_info:top"
SILENT_SINCE: Final = "instance_id:headway_process_silent_since_timestamp_seconds:stuck"
SINK_TIMES: Final = "instance_id:headway_process_expected_duration:times"


def top(family: str) -> str:
    """The values of the family for the rows that the Overview shows."""
    return f"instance_id:{family}:top"


TOP_ORDER: Final = "instance_id:headway_process_order:top"
COPIED: Final = (CODE, START, FINISH, RATIO, DONE, TOTAL, RATE, ETA, CPU, MEMORY)

# ── vectors with instance and id ────────────────────────────────────────────────────────────────────────────────────


def held(which: Condition) -> str:
    return f'{HELD}{{condition="{which.value}"}}'


def bad(which: Status) -> str:
    return f"{BAD_CODE} == {which.code}"


STUCK, SINK, NECK, OVERDUE, ZOMBIE, DUPLICATE = (held(c) for c in Condition)
BLOCKS: Final = f'label_join(count by (instance, blocker_id) ({BLOCKED_BY} == 1), "id", "", "blocker_id")'
WAITERS: Final = f"({BLOCKS} and {ON} {NECK})"
ELAPSED: Final = f"({either(FINISH, f'time() + 0 * {START}')} - {ON} {START})"


def by_row(expr: str) -> str:
    return f"max {BY} ({expr})"
