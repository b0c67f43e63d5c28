"""A message as an adaptive card, which the workflows of Microsoft Teams take.

Texts of others stand in text runs: in these, unlike in text blocks, no character means anything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from headway.alerting.message import Alert, MessageIn, one_line

LISTED: Final = 10
OVER_LISTED: Final = 5
DESCRIPTION_MAX: Final = 600


def card(message: MessageIn) -> dict[str, Any]:
    """The body of the request."""
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "full"},
        "body": [_heading(message), *_body(message)],
        "actions": _actions(message),
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": content}
    return {"type": "message", "attachments": [attachment]}


def _heading(message: MessageIn) -> dict[str, Any]:
    colour = "Good" if not message.firing else "Attention" if message.severity == "critical" else "Warning"
    return _runs([{"text": message.title, "weight": "Bolder", "size": "Medium", "color": colour}])


def _body(message: MessageIn) -> list[dict[str, Any]]:
    firing, over = message.firing, message.resolved
    if len(firing) == 1:
        (one,) = firing
        description = one_line(one.annotations.get("description", ""), DESCRIPTION_MAX)
        where = f" on {one.labels['instance']}" if one.labels.get("instance") else ""
        since = f"{one.labels.get('severity', '')} since {_clock(one.starts_at)}{where}"
        rows: list[list[dict[str, Any]]] = [[{"text": description}]] if description else []
        rows.append([{"text": since, "isSubtle": True}])
    else:
        rows = [_row(one) for one in firing[:LISTED]] + _more(firing, LISTED, "more")
    rows += [_over(one, len(message.alerts)) for one in over[:OVER_LISTED]] + _more(over, OVER_LISTED, "more are over")
    return [_runs(row) for row in rows]


def _row(one: Alert) -> list[dict[str, Any]]:
    link = one.link("process_url")
    action = {"selectAction": {"type": "Action.OpenUrl", "url": link}} if link else {}
    return [{"text": f"• {one.head}", **action}, {"text": f" · since {_clock(one.starts_at)}", "isSubtle": True}]


def _over(one: Alert, count: int) -> list[dict[str, Any]]:
    who = f"✅ {one.over} · " if count > 1 else ""
    return [{"text": f"{who}It lasted {one.lasted}, until {_clock(one.ends_at)}", "isSubtle": True}]


def _more(alerts: Sequence[Alert], listed: int, words: str) -> list[list[dict[str, Any]]]:
    return [[{"text": f"… and {len(alerts) - listed} {words}", "isSubtle": True}]] if len(alerts) > listed else []


def _runs(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs]}


def _actions(message: MessageIn) -> list[dict[str, Any]]:
    one = (message.firing or message.alerts)[0]
    alone = len(message.alerts) == 1
    process = one.link("process_url") if alone else None
    links = (
        ("Output", process),
        ("Cancel", f"{process}?cancel" if process and one.cancellable else None),
        ("Dashboard", one.link("dashboard_url")),
        ("Runbook", one.link("runbook_url")),
        ("Silence", silence_page(message) if message.firing else None),
    )
    return [{"type": "Action.OpenUrl", "title": title, "url": url} for title, url in links if url]


def silence_page(message: MessageIn) -> str | None:
    """Alertmanager's page for a new silence, filled in: of the one process, or of what the message is about."""
    if not re.match(r"https?://[^\s]+$", message.external_url):
        return None
    labels, firing = message.common_labels, message.firing
    narrow = len(firing) == 1 and "id" in firing[0].labels
    names = ("alertname", "id") if narrow else ("alertname", "instance", "service", "name")
    found = firing[0].labels if narrow else labels
    matchers = ", ".join(f"{name}={_quoted(found[name])}" for name in names if found.get(name))
    return f"{message.external_url}/#/silences/new?filter={quote(f'{{{matchers}}}', safe='')}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _clock(at: datetime) -> str:
    try:
        local = at.astimezone()
    except (OverflowError, ValueError):  # the first or the last day that there is
        local = at
    return f"{local.day} {local:%b %H:%M %Z}"
