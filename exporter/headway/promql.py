"""Trends out of a running Prometheus: what is asked of its HTTP API, and what its answers mean. Blocking."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from headway.analysis.trends import Grid, Series

TIMEOUT: Final = 5.0
LONGEST_ANSWER: Final = 8 << 20
GOOD: Final = "done"
# Killed ones may have been killed on purpose, which a counter by outcome does not say: they count neither way.
BAD: Final = "failed|timed_out|orphaned"


class Unavailable(Exception):
    """Prometheus does not answer, or does not know what is asked; the text says which."""


class Prometheus:
    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout
        import requests  # with the first question, not with the exporter

        self._session = requests.Session()
        self._session.trust_env = False

    def instances(self, external_url: str, since: float, until: float) -> list[str]:
        """Under which instances it knows the exporter with this address."""
        about = f"last_over_time(headway_build_info{{external_url={quoted(external_url)}}}[{max(60, int(until - since))}s])"
        found = self._ask("query", {"query": about, "time": until})
        return sorted({row["metric"].get("instance", "") for row in found} - {""})

    def range(self, expression: str, where: Grid) -> list[float | None]:
        """A value for each step; None where there is none. Expressions that give one series at most."""
        asked = {"query": expression, "start": where.ends[0], "end": where.ends[-1], "step": where.step}
        rows = self._ask("query_range", asked)
        values: list[float | None] = [None] * len(where.ends)
        for at, text in rows[0]["values"] if rows else ():
            index, value = round((float(at) - where.ends[0]) / where.step), float(text)
            if 0 <= index < len(values) and math.isfinite(value):
                values[index] = value
        return values

    def _ask(self, call: str, form: Mapping[str, Any]) -> list[dict[str, Any]]:
        import requests

        try:
            answer = self._session.post(f"{self.url}/api/v1/{call}", data=form, timeout=self.timeout, allow_redirects=False)
            body = json.loads(answer.content) if len(answer.content) <= LONGEST_ANSWER else {}
            if body.get("status") == "success":
                return list(body["data"]["result"])
            raise Unavailable(f"Prometheus at {self.url} answers {answer.status_code}: {str(body.get('error', 'no result'))[:200]}")
        except requests.RequestException as error:
            raise Unavailable(f"Prometheus at {self.url} cannot be reached ({type(error).__name__})") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Unavailable(f"what answers at {self.url} is no Prometheus: check prometheus_url") from None


def quoted(text: str) -> str:
    """A string of PromQL."""
    escaped = text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'"{escaped}"'


def expressions(instances: Sequence[str], where: Grid, name: str | None = None, kind: str | None = None) -> dict[str, str]:
    """What is asked for each series: of everything from the recorded sums (prometheus/rules/trends.yml), of one name or type from
    the counters themselves, which are few then."""
    of = [f"instance=~{quoted('|'.join(re.escape(one) for one in instances))}"]
    of += [f"name={quoted(name)}"] if name is not None else []
    of += [f"kind={quoted(kind)}"] if kind is not None else []
    chosen, step, whole = ",".join(of), f"{where.step:.0f}s", name is None and kind is None

    def pick(recorded: str, raw: str, more: str = "") -> str:
        return f"{recorded if whole else raw}{{{','.join(filter(None, (chosen, more)))}}}"

    def gained(selector: str) -> str:
        return f"clamp_min({selector} - {selector} offset {step}, 0)"

    finished, ends = "instance_outcome:headway_finished:sum", "headway_finished_total"
    bad = f"sum({gained(pick(finished, ends, f'outcome=~{quoted(BAD)}'))})"
    both = quoted(f"{GOOD}|{BAD}")
    judged = f"sum({gained(pick(finished, ends, f'outcome=~{both}'))})"
    buckets = gained(pick("instance_le:headway_duration_seconds_bucket:sum", "headway_duration_seconds_bucket"))
    # Of the recorded sums all that lies in a step counts; of one name what there is at its end, which costs nothing to read.
    cpu, memory = "headway_process_cpu_ratio", "headway_process_resident_memory_bytes"
    cores = f"avg_over_time(instance:{cpu}:sum{{{chosen}}}[{step}])" if whole else f"{cpu}{{{chosen}}}"
    held = f"max_over_time(instance:{memory}:sum{{{chosen}}}[{step}])" if whole else f"{memory}{{{chosen}}}"
    sinks = pick("instance:headway_time_sink_trips:sum", "headway_gate_trips_total", "" if whole else 'gate="time_sink"')
    return {
        "ended": f"sum({gained(pick(finished, ends))})",
        "failed": bad,
        "failure_rate": f"{bad} / ({judged} > 0)",
        "duration_p50": f"histogram_quantile(0.5, sum by (le) ({buckets}))",
        "duration_p95": f"histogram_quantile(0.95, sum by (le) ({buckets}))",
        "cpu_cores": f"sum({cores})",
        "memory_bytes": f"sum({held})",
        "time_sinks": f"sum({gained(sinks)})",
        "cost_dollars": f"sum({gained(pick('instance:headway_cost_dollars:sum', 'headway_cost_dollars_total'))})",
    }


def series(prometheus: Prometheus, external_url: str, where: Grid, name: str | None = None, kind: str | None = None) -> Series:
    """All series. Raises Unavailable, also when it knows nothing of this exporter in the time."""
    instances = prometheus.instances(external_url, where.since, where.ends[-1])
    if not instances:
        raise Unavailable(f"Prometheus at {prometheus.url} does not know the exporter {external_url}")
    found = {one: prometheus.range(text, where) for one, text in expressions(instances, where, name, kind).items()}
    if all(value is None for value in found["ended"]):
        raise Unavailable(f"Prometheus at {prometheus.url} has recorded nothing yet that goes back a step")
    return found
