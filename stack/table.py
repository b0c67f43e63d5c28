"""The table of what runs where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stack import services
from stack.exporter import supervised
from stack.layout import Layout
from stack.ports import remembered as ports_of
from stack.ports import variable
from stack.service import Running


@dataclass(frozen=True, slots=True)
class State:
    """`word`: ready, not ready, died or stopped."""

    word: str
    url: str
    pid: int | None


def states(layout: Layout) -> dict[str, State]:
    """How everything that was started here is, by name."""
    found = {}
    if (record := Running.load(layout.run, "exporter")) is not None:
        word = "died" if not record.process.alive else "ready" if record.is_ready() else "not ready"
        found["exporter"] = State(word, record.url, record.process.pid)
    for name, one in supervised(layout).items():
        if one.process is not None:
            found[name] = State("ready" if one.is_ready() else "not ready", one.url, one.process.pid)
        else:
            found[name] = State("died" if one.wanted and "exporter" in found else "stopped", one.url, None)
    return found


_GRAFANA: str = "not here: put grafana on PATH, or run all in containers with docker compose up -d"


def remembered(layout: Layout, environ: Mapping[str, str]) -> list[str]:
    """What the next `make up` does as the last one was told, a sentence each, with how that is forgotten. `environ` tells what was
    given just now from what was before."""
    sentences = [services.remembered_configurations(layout, environ)]
    if ports := ports_of(layout.ports):
        given = " ".join(f"{variable(name)}={port}" for name, port in ports.items())
        forget = " ".join(f"{variable(name)}=" for name in ports)
        now = all(environ.get(variable(name)) == str(port) for name, port in ports.items())
        since = "for later starts" if now else "from an earlier start"
        sentences.append(f"{given} is remembered {since}; {forget} make up forgets it, after make down")
    return [sentence for sentence in sentences if sentence]


def table(layout: Layout, environ: Mapping[str, str], states: Mapping[str, State]) -> str:
    """A row for each service. `states`: by name of what was started."""
    rows: list[Sequence[str]] = [("SERVICE", "STATE", "URL", "PID", "LOG")]
    for name in services.NAMES:
        state = states.get(name)
        if state is not None and state.word == "died":
            rows.append((name, "died", "", "", layout.shown(layout.log(name))))
        elif state is not None and state.word != "stopped":
            rows.append((name, state.word, state.url, str(state.pid), layout.shown(layout.log(name))))
        elif name == "grafana" and services.grafana_command(environ) is None:
            rows.append((name, _GRAFANA))
        else:
            rows.append((name, "stopped"))
    widths = [max((len(row[i]) for row in rows if len(row) > i + 1), default=0) for i in range(5)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows)
