"""The table of what runs where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stack import services
from stack.layout import Layout
from stack.service import Running

_GRAFANA: str = "not here: put grafana on PATH, or run all in containers with docker compose up -d"


def table(layout: Layout, environ: Mapping[str, str], checked: Mapping[str, bool]) -> str:
    """A row for each service. `checked`: by name of what lives, whether it answers that it can work."""
    rows: list[Sequence[str]] = [("SERVICE", "STATE", "URL", "PID", "LOG")]
    for name in services.NAMES:
        record = Running.load(layout.run, name)
        if name in checked and record is not None:
            state = "ready" if checked[name] else "not ready"
            rows.append((name, state, record.url, str(record.process.pid), layout.shown(layout.logs / f"{name}.log")))
        elif record is not None:
            rows.append((name, "died", "", "", layout.shown(layout.logs / f"{name}.log")))
        elif name == "grafana" and services.grafana_command(environ) is None:
            rows.append((name, _GRAFANA))
        else:
            rows.append((name, "stopped"))
    widths = [max((len(row[i]) for row in rows if len(row) > i + 1), default=0) for i in range(5)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows)
