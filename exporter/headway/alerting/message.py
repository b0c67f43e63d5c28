"""What Alertmanager posts to a webhook (version 4), as far as the exporter reads it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from headway.durations import format_duration

Labels = dict[str, str]
Moment = Annotated[datetime, Meta(tz=True)]
# A link that no receiver stumbles over.
_LINK: Final = re.compile(r"https?://[^\s\"<>|()\[\]]{1,300}")
_CANCELLABLE: Final = re.compile(r"Stuck|TimeSink|Bottleneck|TimedOut|Duplicate|Memory")
HEAD_MAX: Final = 110
NAME_MAX: Final = 60


class Alert(Struct, rename="camel", frozen=True):
    """One alert. `starts_at` and `ends_at` have a time zone."""

    status: Literal["firing", "resolved"]
    labels: Labels
    starts_at: Moment
    ends_at: Moment
    annotations: Labels = field(default_factory=dict)

    @property
    def fires(self) -> bool:
        return self.status == "firing"

    @property
    def kind(self) -> str:
        """HeadwayProcessTimeSink: Time Sink."""
        short = re.sub(r"^Headway(Process)?", "", self.labels.get("alertname", ""))
        return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", short)[:NAME_MAX]

    @property
    def name(self) -> str:
        return one_line(self.labels.get("name", ""))[:NAME_MAX]

    @property
    def head(self) -> str:
        """What is wrong with whom. Summaries are constant sentences: who it is takes the place of their subject."""
        said, name = one_line(self.annotations.get("summary") or self.labels.get("alertname", "")), self.name
        for subject, who in (("A process ", name), ("A service ", self.labels.get("service", ""))):
            if who and said.startswith(subject):
                return one_line(f"{who} {said.removeprefix(subject)}", HEAD_MAX)
        return one_line(said if not name or said.startswith(name) else f"{name}: {said}", HEAD_MAX)

    @property
    def over(self) -> str:
        """The same once it is over: whom, and what it was."""
        return f"{self.name}: {self.kind}" if self.name else self.head

    @property
    def lasted(self) -> str:
        return format_duration(max(0.0, (self.ends_at - self.starts_at).total_seconds()))

    @property
    def cancellable(self) -> bool:
        """Whether it is about something that still runs."""
        over = not self.fires or self.labels.get("gate") == "timed_out"
        return not over and _CANCELLABLE.search(self.labels.get("alertname", "")) is not None

    def outlasts(self, other: Alert) -> bool:
        """Whether it is of the same process, and goes on after the other's end."""
        return (
            bool(other.labels.get("id"))
            and self.labels.get("id") == other.labels["id"]
            and (self.fires or other.ends_at < self.ends_at)
        )

    def link(self, annotation: str) -> str | None:
        url = self.annotations.get(annotation, "")
        return url if _LINK.fullmatch(url) else None


class MessageIn(Struct, rename="camel", frozen=True):
    """What Alertmanager posts for a group of alerts."""

    version: Literal["4"]
    status: Literal["firing", "resolved"]
    alerts: Annotated[list[Alert], Meta(min_length=1, max_length=10_000)]
    common_labels: Labels = field(default_factory=dict)
    external_url: str = field(default="", name="externalURL")

    @property
    def firing(self) -> list[Alert]:
        return [alert for alert in self.alerts if alert.fires]

    @property
    def resolved(self) -> list[Alert]:
        """A process that was a warning first and critical then is over once: as what ended last."""
        return [alert for alert in self.alerts if not alert.fires and not any(other.outlasts(alert) for other in self.alerts)]

    @property
    def severity(self) -> str:
        """The worst of what fires."""
        firing = {alert.labels.get("severity", "") for alert in self.firing}
        return next((one for one in ("critical", "warning") if one in firing), self.common_labels.get("severity", ""))

    @property
    def title(self) -> str:
        firing, count = self.firing, len(self.resolved)
        icon = {"critical": "🔴", "warning": "🟠"}.get(self.severity, "🔵") if firing else "✅"
        if len(firing) == 1:
            return f"{icon} {firing[0].head}"
        if firing:
            name = one_line(self.common_labels.get("name", ""), NAME_MAX)
            return f"{icon} {len(firing)} × {firing[0].kind}" + (f": {name}" if name else "")
        return f"{icon} Resolved: {self.alerts[0].over if count == 1 else f'{count} × {self.alerts[0].kind}'}"


def one_line(text: str, limit: int = 10_000) -> str:
    """Without line ends and control characters, and with an ellipsis where it was cut."""
    flat = re.sub(r"[\x00-\x1f\x7f\s]+", " ", text)
    return flat if len(flat) <= limit else f"{flat[:limit]}…"
