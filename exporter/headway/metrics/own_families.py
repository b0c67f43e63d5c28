"""The families of the exporter's own health. :mod:`headway.metrics.own` fills them through client_python."""

from __future__ import annotations

from typing import Final

from headway.metrics.family import Family, Scope, Type

O = Scope.OWN  # noqa: E741
G, C, H, I = Type.GAUGE, Type.COUNTER, Type.HISTOGRAM, Type.INFO  # noqa: E741
S, B = "seconds", "bytes"

# fmt: off
OWN_FAMILIES: Final[tuple[Family, ...]] = (
    Family(name="headway_build_info", type=I, scope=O, labels=("version", "python", "external_url", "grafana_url"),
           help="Version of this exporter and of the Python it runs on; the value is always 1."),
    Family(name="headway_sample_duration_seconds", type=H, scope=O, unit=S,
           help="Time of one pass over the OS processes of all tracked trees."),
    Family(name="headway_sample_errors_total", type=C, scope=O,
           help="Figures of OS processes that the exporter was not allowed to read."),
    Family(name="headway_sample_interval_seconds", type=G, scope=O, unit=S,
           help="How often the OS processes of tracked processes are to be read (sample_interval)."),
    Family(name="headway_watching_since_timestamp_seconds", type=G, scope=O, unit=S,
           help="Since when the exporter watches without a gap (unix time): silence before that says nothing."),
    Family(name="headway_zombie_threshold_seconds", type=G, scope=O, unit=S,
           help="From when on an OS process that was not reaped counts as a zombie (zombie_after)."),
    Family(name="headway_failure_ratio_threshold", type=G, scope=O,
           help="Share of the recent runs of a name that end badly from which the name is failing (failure_rate)."),
    Family(name="headway_failure_runs_threshold", type=G, scope=O,
           help="From how many recent runs on a name can be failing (failure_rate_runs)."),
    Family(name="headway_memory_foresight_seconds", type=G, scope=O, unit=S,
           help="How far ahead the end of the memory is foreseen (memory_foresight)."),
    Family(name="headway_discovered_processes", type=G, scope=O, labels=("rule",),
           help="OS processes that match a rule of discovery and are tracked, by rule; 0 while nobody matches."),
    Family(name="headway_discovery_duration_seconds", type=G, scope=O, unit=S,
           help="Time of the last look for OS processes that nobody reported."),
    Family(name="headway_store_commits_total", type=C, scope=O,
           help="Changes that were made durable."),
    Family(name="headway_store_commit_groups_total", type=C, scope=O,
           help="Commits that made them durable, each for the changes that had gathered."),
    Family(name="headway_store_commit_failures_total", type=C, scope=O,
           help="Commits that failed; their changes were undone and refused."),
    Family(name="headway_store_commit_duration_seconds", type=G, scope=O, unit=S,
           help="Duration of the last commit."),
    Family(name="headway_store_pending", type=G, scope=O,
           help="Changes that wait for the next commit."),
    Family(name="headway_store_dropped_lines_total", type=C, scope=O,
           help="Log lines that were given up because the store could not take them in time."),
    Family(name="headway_store_size_bytes", type=G, scope=O, unit=B,
           help="Size of the database on disk."),
    Family(name="headway_store_up", type=G, scope=O,
           help="Whether the store can be written to (1 yes, 0 no)."),
    Family(name="headway_collector_render_duration_seconds", type=H, scope=O, unit=S,
           help="Time to bring the series of all processes up to date and join them, before compression."),
    Family(name="headway_collector_series", type=G, scope=O,
           help="Series of processes, names and totals on the page, without those of the exporter's own health."),
    Family(name="headway_http_requests_total", type=C, scope=O, labels=("method", "route", "code"),
           help="HTTP requests answered, by method, route (the pattern, not the path) and status code."),
    Family(name="headway_http_request_duration_seconds", type=H, scope=O, unit=S, labels=("method",),
           help="Time until the answer to an HTTP request was begun, by method."),
    Family(name="headway_control_actions_total", type=C, scope=O, labels=("action", "outcome"),
           help="What people did from here (sign-ins, too), by action and outcome: done, failed (in part, too) or refused."),
    Family(name="headway_announcements_pending", type=G, scope=O,
           help="Ends of processes that Alertmanager is still to be told of."),
    Family(name="headway_announcements_delivered_total", type=C, scope=O,
           help="Ends of processes that Alertmanager was told of."),
    Family(name="headway_announcements_given_up_total", type=C, scope=O,
           help="Ends of processes that Alertmanager could not be told of within an hour, or that it refused."),
    Family(name="headway_stream_subscribers", type=G, scope=O,
           help="Clients that follow the live stream."),
    Family(name="process_cpu_seconds_total", type=C, scope=O,
           help="Total user and system CPU time spent in seconds."),
    Family(name="process_resident_memory_bytes", type=G, scope=O,
           help="Resident memory size in bytes."),
    Family(name="process_virtual_memory_bytes", type=G, scope=O,
           help="Virtual memory size in bytes."),
    Family(name="process_start_time_seconds", type=G, scope=O,
           help="Start time of the process since unix epoch in seconds."),
    Family(name="process_open_fds", type=G, scope=O,
           help="Number of open file descriptors."),
    Family(name="process_max_fds", type=G, scope=O,
           help="Maximum number of open file descriptors."),
)
# fmt: on
