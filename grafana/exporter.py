"""The dashboard of the exporter's own health, of the services of the stack, and of the host."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.models import dashboard

from grafana.boards import Place, board
from grafana.facts import metric
from grafana.figures import figures
from grafana.graphs import Config, Line, colour, dashes, graph
from grafana.look import AMBER, BLUE, GREY, RED, values
from grafana.services import services

UID: Final = "headway-exporter"
JOB: Final = '{job=~"headway.*"}'
DOWN: Final = "No exporter is scraped. Start one with: make up"
RATE: Final = "[$__rate_interval]"
BLUE_LINE, GREY_LINE, LIMIT = colour(BLUE), colour(GREY), dashes() | colour(AMBER)


def now() -> stat.Panel:
    up = {"mappings": [values({"0": {"text": "no", "color": RED}, "1": {"text": "yes", "color": "text"}})]}
    return figures(
        "Now",
        "Whether every exporter answers and can store, how many series it gives, how much waits for the disk, how big its database "
        "is, and how many clients follow the live stream.",
        DOWN,
        (
            ("Answers", f"min(up{JOB})", up),
            ("Stores", f"min({metric('store_up')})", up),
            ("Series", f"sum({metric('collector_series')})", {"unit": "short"}),
            ("Waits for the disk", f"sum({metric('store_pending')})", {"unit": "none"}),
            ("Database", f"sum({metric('store_size_bytes')})", {"unit": "bytes"}),
            ("Stream clients", f"sum({metric('stream_subscribers')})", {"unit": "none"}),
            ("Undelivered ends", f"sum({metric('announcements_pending')})", {"unit": "none"}),
        ),
    )


def mean(histogram: str) -> str:
    """Seconds that one took on average."""
    name = metric(histogram)
    return f"rate({name}_sum{RATE}) / (rate({name}_count{RATE}) > 0)"


def within(histogram: str) -> str:
    name = metric(histogram)
    return f"histogram_quantile(0.95, sum by (instance, le) (rate({name}_bucket{RATE})))"


def lost() -> list[Line]:
    counters = {
        "processes without series": "processes_dropped_total",
        "names without series": "names_dropped_total",
        "log lines": "store_dropped_lines_total",
        "commits that failed": "store_commit_failures_total",
        "figures refused": "sample_errors_total",
        "ends not announced": "announcements_given_up_total",
    }
    return [(f"sum(increase({metric(counter)}[$__interval]))", name) for name, counter in counters.items()]


def exporter() -> dashboard.Dashboard:
    panels: tuple[tuple[int, str, str, str, list[Line], dict[str, Config]], ...] = (
        (
            3,
            "Scrapes",
            "How long Prometheus waited for the page, and how long the exporter needed for 95% of them, before compression.",
            "s",
            [
                (f"scrape_duration_seconds{JOB}", "scrape {{instance}}"),
                (within("collector_render_duration_seconds"), "page {{instance}}"),
            ],
            {},
        ),
        (
            4,
            "Samples",
            "How long one look at the OS processes of all trees took, and how often they are to be read: a look that takes longer "
            "comes late.",
            "s",
            [(mean("sample_duration_seconds"), "look"), (metric("sample_interval_seconds"), "interval")],
            {"look": BLUE_LINE, "interval": LIMIT},
        ),
        (
            5,
            "Disk",
            "How long the last commit took: nothing is acknowledged before it is on the disk.",
            "s",
            [(metric("store_commit_duration_seconds"), "commit {{instance}}")],
            {},
        ),
        (
            6,
            "Changes stored",
            "Changes made durable in a second, and the commits that they shared.",
            "ops",
            [
                (f"sum(rate({metric('store_commits_total')}{RATE}))", "changes"),
                (f"sum(rate({metric('store_commit_groups_total')}{RATE}))", "commits"),
            ],
            {"changes": BLUE_LINE, "commits": GREY_LINE},
        ),
        (
            7,
            "Lost and refused",
            "What was given up: anything but 0 has a heading in the runbook, under HeadwayExporterDegraded.",
            "none",
            lost(),
            {},
        ),
        (
            8,
            "Requests",
            "HTTP requests answered in a second, by status code.",
            "reqps",
            [(f"sum by (code) (rate({metric('http_requests_total')}{RATE}))", "{{code}}")],
            {},
        ),
        (
            9,
            "Time of requests",
            "Within which time 95% of the requests were answered, by exporter.",
            "s",
            [(within("http_request_duration_seconds"), "{{instance}}")],
            {},
        ),
        (
            10,
            "What it uses itself",
            "CPU that the exporter needs; 100% is one core.",
            "percentunit",
            [(f"rate(process_cpu_seconds_total{JOB}{RATE})", "{{instance}}")],
            {},
        ),
        (
            11,
            "Host: CPU",
            "CPU of the host in use, of all its CPUs, and for how much of the time a task had to wait for CPU, memory or disk.",
            "percentunit",
            [
                (f"rate({metric('host_cpu_seconds_total')}{RATE}) / {metric('host_cpus')}", "used"),
                (f"rate({metric('host_pressure_waiting_seconds_total')}{RATE})", "waiting for {{resource}}"),
            ],
            {"used": BLUE_LINE},
        ),
        (
            12,
            "Host: memory",
            "Memory of the host, and how much of it could be had without swapping.",
            "bytes",
            [(metric("host_memory_bytes"), "all"), (metric("host_memory_available_bytes"), "available")],
            {"all": dashes() | GREY_LINE, "available": BLUE_LINE},
        ),
    )
    places = [
        Place(number, 12 * (index % 2), 8 + 7 * (index // 2), 12, 7, graph(title, text, unit, lines, looks, empty=DOWN))
        for index, (number, title, text, unit, lines, looks) in enumerate(panels)
    ]
    return board(
        UID,
        "Headway / Exporter health",
        "Whether the exporter keeps up: scrapes, samples, disk, requests, what was lost, the services of the stack, and the host.",
        refresh="30s",
        since="now-1h",
        places=(Place(1, 0, 0, 24, 3, now()), Place(2, 0, 3, 24, 5, services()), *places),
    )
