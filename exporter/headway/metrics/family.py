"""What a metric family is: the columns of the table in :mod:`headway.metrics.families`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Number = float | int
# One line of a family: suffix of its name ("" but for histograms), values of the family's own labels, value.
Row = tuple[str, tuple[str, ...], Number]
Rows = tuple[Row, ...]


class Type(StrEnum):
    """Metric types as OpenMetrics names them; the older text format knows no info and calls it a gauge."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


class Scope(StrEnum):
    """What one series of a family describes, and with that the labels that all families of the scope have."""

    PROCESS = "process"
    NAME = "name"
    TOTAL = "total"
    OWN = "own"


class Shown(StrEnum):
    """When a per-process family has series. Ended processes keep theirs until the registry lets them fade."""

    ACTIVE = "active"
    ENDED = "ended"
    ALWAYS = "always"


SCOPE_LABELS: dict[Scope, tuple[str, ...]] = {
    Scope.PROCESS: ("id", "name", "kind"),
    Scope.NAME: ("name", "kind"),
    Scope.TOTAL: (),
    Scope.OWN: (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric family.

    `name` is the name of its series, in the text format also that of the family; OpenMetrics leaves `_total` and `_info` away
    in the metadata. `unit` is a suffix of that shorter name or empty. `labels` are those beside the labels of the scope.

    Exactly one of `value` and `rows` reads it from its source (a View for processes, NameStats for names): `value` gives the one
    number of the only series, `rows` any number of lines. None, NaN, infinity and an empty tuple mean unknown: no series. Families
    of the scopes total and own have neither; the collector and the exporter's own metrics fill them.

    `of`: the part of the source that `value` reads, where many families read the same: it is looked for once for all of them.

    `volatile`: its value can change while everything that :func:`headway.metrics.families.stable_part` names stays as it is.
    """

    name: str
    type: Type
    help: str
    scope: Scope
    unit: str = ""
    labels: tuple[str, ...] = ()
    shown: Shown = Shown.ALWAYS
    volatile: bool = False
    of: Callable[[Any], Any] | None = None
    value: Callable[[Any], Number | None] | None = None
    rows: Callable[[Any], Rows] | None = None

    def read(self, source: Any) -> Number | None:
        """The number of the only series. Only for a family with `value`."""
        assert self.value is not None
        return self.value(source if self.of is None else self.of(source))

    @property
    def all_labels(self) -> tuple[str, ...]:
        return SCOPE_LABELS[self.scope] + self.labels

    @property
    def metadata_name(self) -> str:
        """The name of the family in OpenMetrics metadata lines."""
        if self.type is Type.COUNTER:
            return self.name.removesuffix("_total")
        if self.type is Type.INFO:
            return self.name.removesuffix("_info")
        return self.name
