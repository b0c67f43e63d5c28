"""What to do about names: those that fail often, become slower, vary, or have no limits. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from headway.analysis.findings import Level
from headway.analysis.history import NameKey, good_durations
from headway.analysis.numbers import quantile, rounded_up
from headway.analysis.patterns import Pattern
from headway.analysis.recommendation import Recommendation
from headway.analysis.suggestion import suggestion
from headway.cleaning import clean
from headway.gates import span
from headway.model import Kind, Process
from headway.view import TIME_SINK_AFTER

# A name fails too often when even the lower end of what its failure rate may be is above this; a fifth is one run a week of daily.
FAILING: Final = 0.2
# Two of three may be yesterday's typing errors.
FAILING_RUNS: Final = 5
FAILING_BADLY: Final = 0.5
VARYING_RUNS: Final = 20
VARYING: Final = 0.1  # so many good runs take twice the median: a limit of two says nothing
RATIO_MARGIN: Final = 1.1
TIMEOUT_RUNS: Final = 20  # so many good runs, and no limit: then a timeout is worth a word,
TIMEOUT_FROM: Final = 1.0  # s; unless nearly all were shorter: such runs hang rarely, and there are many of such names


def about_names(patterns: Sequence[Pattern], history: Mapping[NameKey, Sequence[Process]]) -> Iterator[Recommendation]:
    for one in patterns:
        name = shlex.quote(clean(one.name))
        if (
            one.failure_rate is not None
            and one.failure_rate_range
            and one.judged >= FAILING_RUNS
            and one.failure_rate_range[0] >= FAILING
        ):
            low, high = one.failure_rate_range
            how = "mostly" if one.errors and one.errors[0].count > 1 else "lately"
            common = f"; {how}: {one.errors[0].message} ({one.errors[0].count}x)" if one.errors else ""
            yield Recommendation(
                priority=Level.HIGH if low >= FAILING_BADLY else Level.MEDIUM,
                action="find out why it fails so often",
                about=clean(one.name),
                id=None,
                reason=f"{one.failed} of {one.judged} runs failed ({one.failure_rate:.0%}, {low:.0%} to {high:.0%}){common}",
                command=f"headway output {one.errors[0].last_id} --tail 50" if one.errors else f"headway ps --all --name {name}",
            )
        if one.duration_trend is not None and one.duration_trend.direction == "rising":
            change, runs = one.duration_trend.change, one.duration_trend.runs
            yield Recommendation(
                priority=Level.MEDIUM if change >= 1 else Level.LOW,
                action="find out why it becomes slower",
                about=clean(one.name),
                id=None,
                reason=f"{change:+.0%} over its last {runs} runs (p = {one.duration_trend.p:.2g})",
                command=f"headway ps --all --name {name} --limit {runs}",
            )
        runs_of = history.get((one.name, one.kind), ())
        yield from _varying(one, runs_of)
        if one.timed >= TIMEOUT_RUNS and one.kind is not Kind.DAEMON and not any(run.spec.timeout for run in runs_of):
            found = suggestion((one.name, one.kind), runs_of)
            if found.timeout is not None and found.timeout.p99 >= TIMEOUT_FROM and found.command is not None:
                yield Recommendation(
                    priority=Level.LOW,
                    action="give it limits, so that a run that hangs is noticed",
                    about=clean(one.name),
                    id=None,
                    reason=f"99% of {found.timeout.runs} good runs took at most {span(found.timeout.p99)}, and none has a timeout",
                    command=found.command,
                )


def _varying(one: Pattern, runs: Sequence[Process]) -> Iterator[Recommendation]:
    """A name whose good runs often take twice the usual: what is a time sink for others is everyday there."""
    durations = sorted(good_durations(runs))
    if len(durations) < VARYING_RUNS or one.slow_runs < VARYING * len(durations) or not one.duration_median:
        return
    longest = quantile(durations, 0.99)
    ratio = rounded_up(longest / one.duration_median * RATIO_MARGIN)
    if longest < TIME_SINK_AFTER or any((run.spec.thresholds.time_sink_ratio or 0.0) >= ratio for run in runs):
        return
    pattern = json.dumps(re.sub(r"([*?[])", r"[\1]", clean(one.name)))  # JSON is YAML, and names are patterns there
    yield Recommendation(
        priority=Level.LOW,
        action="set a threshold of its own in headway.yaml, else every slow run is called a time sink",
        about=clean(one.name),
        id=None,
        reason=f"{one.slow_runs} of {len(durations)} good runs took twice the median of {span(one.duration_median)}",
        command=f"thresholds: {{name: {{{pattern}: {{time_sink_ratio: {ratio:g}}}}}}}",
    )
