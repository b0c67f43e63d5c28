"""Whether what is configured can be started, asked of those who would read it. Nothing is started or ended by that."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from stack import services
from stack.layout import Layout
from stack.ports import Ports
from stack.problem import Problem, Problems
from stack.service import Service


def everything(
    layout: Layout, ports: Ports, commands: Mapping[str, str], environ: Mapping[str, str], *, link: bool
) -> dict[str, Service]:
    """All services, of which all is looked at. `link`: the links to the configuration of Prometheus are made, so that it can be
    looked at at all. Raises Problem with everything that is wrong."""
    problems = Problems()
    every = {"exporter": services.exporter(layout, ports, environ)}
    with problems.noted():
        every = services.every(layout, ports, commands, environ)
    with problems.noted():
        exporter(layout, every, environ)
    if link:
        services.prometheus(layout, ports, commands["prometheus"], environ).write()
    if "alertmanager" in every:
        with problems.noted():
            alertmanager(every["alertmanager"], commands["amtool"])
    with problems.noted():
        prometheus(layout, commands["promtool"])
    problems.end()
    return every


def exporter(layout: Layout, every: Mapping[str, Service], environ: Mapping[str, str]) -> None:
    """Settings, services, schedules and rules of discovery. Raises Problem."""
    service = every["exporter"]
    with _file(services.configuration(every)) as path:
        named = [str(path) if word == str(layout.services) else word for word in service.command[2:]]
        said = _asked((service.command[0], "config", *named), {**environ, **service.env})
    if said is not None:
        said = said.removeprefix("headway: ").replace(str(path), layout.shown(layout.services))
        words = f"the configuration of the exporter is not valid: {said}"
        raise Problem("\n".join(filter(None, (words, services.whose_configuration(layout, environ)))))


def alertmanager(service: Service, amtool: str) -> None:
    """What it would be started with: receivers, routes, templates. Raises Problem. An `amtool` of another version is not asked: it
    knows other fields."""
    if services.version(amtool) != services.version(service.command[0]):
        return
    text = next(text for path, text in service.secret_files.items() if path.suffix == ".yml")
    with _file(text) as path:
        said = _asked((amtool, "check-config", str(path)))
    if said is not None:
        raise Problem(f"the configuration of Alertmanager is not valid:\n{said}")


def prometheus(layout: Layout, promtool: str) -> None:
    """The configuration of this clone with its rules, where it was linked to already. Raises Problem."""
    path = layout.state / "prometheus/config/prometheus.yml"
    if path.exists() and (said := _asked((promtool, "check", "config", str(path)))) is not None:
        raise Problem(f"the configuration of Prometheus or a rule is not valid:\n{said}")


@contextmanager
def running_on(names: Sequence[str]) -> Iterator[None]:
    """To a Problem is added what becomes of these, which run."""
    try:
        yield
    except Problem as problem:
        if not names:
            raise
        raise Problem(
            f"{problem}\nnothing was changed: {', '.join(names)} run on with the configuration they were started with"
        ) from None


@contextmanager
def _file(text: str) -> Iterator[Path]:
    """For nobody else's eyes: it may hold secrets."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "configuration.yml"
        path.write_text(text)
        yield path


def _asked(command: Sequence[str], environ: Mapping[str, str] | None = None) -> str | None:
    """What this command says is wrong; None: nothing."""
    done = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return None if done.returncode == 0 else (done.stderr.strip() if environ is not None else (done.stdout + done.stderr).strip())
