"""An end as an alert that says it: what, how it went, how long against usual, and what it was. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from headway.durations import format_duration
from headway.model import Process, Status
from headway.names import NameStats

ALERT: Final = "HeadwayProcessEnded"
LONGEST: Final = 400
PHRASES: Final[Mapping[Status, str]] = {
    Status.DONE: "is done",
    Status.FAILED: "failed",
    Status.CANCELLED: "was cancelled",
    Status.KILLED: "was killed",
    Status.TIMED_OUT: "was ended at its timeout",
    Status.ORPHANED: "is gone without a word",
}


def alert(
    process: Process, stats: NameStats | None, links: Mapping[str, str], instance: str, *, again: bool = False
) -> dict[str, Any]:
    """As Alertmanager takes it, without the times at which it is to begin and to end. `links`: external_url and grafana_url,
    which is empty where there is no Grafana. `again`: it is done after it had ended badly."""
    outcome = process.status.value
    annotations = {
        "summary": f"{process.name} {PHRASES[process.status]}{' again' if again else ''}",
        "description": description(process, stats),
        "process_url": f"{links['external_url']}/processes/{process.id}",
    }
    if links["grafana_url"]:
        annotations["dashboard_url"] = f"{links['grafana_url']}/d/headway-process?var-id={process.id}"
    labels = {
        "alertname": ALERT,
        "severity": "info",
        "gate": "ended",
        "id": process.id,
        "name": process.name,
        "kind": process.kind.value,
        "outcome": outcome,
        "instance": instance,
    }
    # An empty label is none to Alertmanager, and would be one to whoever matches it.
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": annotations,
        "generatorURL": annotations["process_url"],
    }


def times(finished_at: float, until: float) -> dict[str, str]:
    """`until`: when it is over for Alertmanager, which never tells of what is over when it hears of it."""
    return {"startsAt": _rfc3339(finished_at), "endsAt": _rfc3339(until)}


def description(process: Process, stats: NameStats | None) -> str:
    """What it said last, how long it took, how far it came, what it used: one sentence each, as far as they are known."""
    parts = [_what(process), _how_long(process, stats), _how_far(process), _what_it_cost(process)]
    return " ".join(part for part in parts if part) or "Nothing more is known of it."


def _what(process: Process) -> str:
    words = (process.activity.summary, process.error)
    said = words[0] or words[1] if process.status is Status.DONE else words[1] or words[0]
    text = " ".join((said or "").split())
    text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return text if not text or text[-1] in ".!?…" else f"{text}."


def _how_long(process: Process, stats: NameStats | None) -> str:
    took = process.elapsed(process.finished_at or 0.0)
    if took is None:
        return ""
    words = f"It took {lasting(took)}"
    if process.spec.expected_duration is not None:
        return f"{words}, {lasting(process.spec.expected_duration)} were expected."
    usual = None if stats is None else stats.expected_duration
    if stats is None or usual is None:
        return f"{words}."
    return f"{words}, usual are {lasting(usual)} (median of {len(stats.good_durations)} good runs)."


def lasting(seconds: float) -> str:
    """ "6m 41s"; below ten seconds with a tenth."""
    return format_duration(round(seconds, 1) if seconds < 10 else float(round(seconds)))


def _how_far(process: Process) -> str:
    current, total, unit = process.activity.current, process.activity.total, process.activity.unit or "items"
    if current is None:
        return ""
    if total is None:
        return f"{current:,.10g} {unit}."
    return f"{current:,.10g} of {total:,.10g} {unit}."


def _what_it_cost(process: Process) -> str:
    metadata = process.metadata
    nested = metadata.get("tokens")
    tokens: Mapping[str, Any] = nested if isinstance(nested, Mapping) else {}
    counts = (tokens.get("input", metadata.get("tokens_in")), tokens.get("output", metadata.get("tokens_out")))
    known = [f"{count:,.0f} tokens {way}" for count, way in zip(counts, ("in", "out"), strict=True) if _is_number(count)]
    cost = metadata.get("cost_dollars")
    if _is_number(cost):
        known.append(f"${cost:,.2f}")
    return f"{', '.join(known)}." if known else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
