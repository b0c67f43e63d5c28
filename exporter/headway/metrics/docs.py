"""Writes docs/metrics.md from the table: `python -m headway.metrics.docs [FILE]` (without a file: to stdout)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from headway.metrics.families import FAMILIES
from headway.metrics.family import SCOPE_LABELS, Family, Scope, Shown, Type

_HEAD: Final = """# Metrics

Everything that `/metrics` shows. This file is made from the table in `exporter/headway/metrics/families.py` by
`python -m headway.metrics.docs docs/metrics.md`; a test says when it is out of date.

- Units are base units: seconds, bytes, ratios from 0 to 1 (CPU: 1 is one core), dollars. Times are unix timestamps, not ages.
- **A value that is not known has no series**; it is never 0.
- `/metrics` answers in the Prometheus text format 0.0.4 or in OpenMetrics 1.0.0, compressed with gzip on request. In OpenMetrics
  the metadata of counters and infos lacks the suffix `_total` or `_info`, as the format wants it; the series are the same.
- It shows the processes of all users and is meant for operators.
- Join on `(instance, id)`, never on `id` alone: two machines may use the same id.
"""

_ABOUT: Final = {
    Scope.PROCESS: (
        "Per process",
        """Labels of every series: {labels}. What else there is to know of a process is in the labels of `headway_process_info`.

*Shown* says when: *active* while the process is queued, starting, running, paused or stopping; *ended* after that; *always* both.
Series end 30 minutes (`active_retention`) after a good end (done, cancelled, killed on request), or when the process is
dismissed; those of a process that failed, timed out or was killed by someone unknown stay until it is dismissed, and those of
one that was orphaned for a day (`orphan_retention`) at most.
At most `max_processes` processes have series; `headway_processes_dropped_total` counts the others. At the limit a process that
is active takes the place of the one that ended first.

Tokens and cost come from what the process reports in its metadata: `{{"tokens": {{"input": 1200, "output": 85}}}}` or
`{{"tokens_in": 1200, "tokens_out": 85}}`, and `{{"cost_dollars": 0.04}}`. They are running totals, not differences.

Numbers of its own a process reports in `metadata.values`: `{{"values": {{"records": 512, "bytes": 90211}}}}` is
`headway_process_value{{key="records"}}` and `{{key="bytes"}}`, while it runs and as long after its end as its other series. The
first 16 finite numbers count, with printable names of at most 64 characters. An update of the metadata changes those that it
names, and null removes one.""",
    ),
    Scope.NAME: (
        "Per name",
        """Labels of every series: {labels}. They are there from the first process of a name on, with counters at 0, and stay for
ever; counters are kept over a restart. At most `max_names` pairs of name and kind have series of their own; all others are added
up under `name="other"`.

What processes used (CPU time, I/O, tokens) is counted while they run, every 10 seconds, and at their end; it is shown when it is
on the disk, so that these counters fall neither when a process ends nor when the exporter is killed. It is what the sampler saw
of whole trees, and of a run that was over before the first sample (`sample_interval`), or runs where the sampler does not see it,
what its reporter says at its end: `headway run` does (`used`: the command and those it waited for). The last moment before an end
is missing where nobody says it. A run inside the tree of another counts under both names; runs of one name in one OS process
(threads) count once. What a process used before it was found by a rule, or taken over as a service, does not count if it was
older than a minute then, and neither does what a worker did before the run began.""",
    ),
    Scope.TOTAL: ("Totals", "No labels but those in the table."),
    Scope.OWN: ("The exporter itself", "No labels but those in the table. Histograms have `le` beside them."),
}


def document() -> str:
    """The whole of docs/metrics.md."""
    parts = [_HEAD]
    for scope, (title, about) in _ABOUT.items():
        families = [family for family in FAMILIES if family.scope is scope]
        own = ", ".join(f"`{label}`" for label in SCOPE_LABELS[scope])
        parts.append(f"\n## {title}\n\n{about.format(labels=own)}\n\n{_table(scope, families)}")
    return "".join(parts)


def _table(scope: Scope, families: Sequence[Family]) -> str:
    columns = ["metric", "type", "more labels", *(["shown"] if scope is Scope.PROCESS else []), "what it says"]
    rows = [columns, ["---"] * len(columns), *(_row(scope, family) for family in families)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(scope: Scope, family: Family) -> list[str]:
    more = ", ".join(f"`{label}`" for label in family.labels)
    shown = [{Shown.ACTIVE: "active", Shown.ENDED: "ended", Shown.ALWAYS: "always"}[family.shown]] if scope is Scope.PROCESS else []
    kind = "gauge (info)" if family.type is Type.INFO else family.type.value
    return [f"`{family.name}`", kind, more, *shown, family.help]


def main(arguments: Sequence[str]) -> int:
    if arguments:
        Path(arguments[0]).write_text(document(), encoding="utf-8")
    else:
        sys.stdout.write(document())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
