"""Starting the stack: nothing is started before everything is known to fit, and what was started for nothing is ended again."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stack import environment, services, tools
from stack.layout import Layout
from stack.ports import Ports, check_free
from stack.problem import Problem
from stack.service import Running, Service
from stack.waiting import wait_until

_PATIENCE: Final = 60.0  # s until a service that still lives counts as one that does not come up
_LAST_LINES: Final = 15


def up(layout: Layout, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Starts what does not run yet and returns when it is ready. Raises Problem; then nothing new is left running."""
    alive = running(layout)
    ports = Ports.of(environ, {name: record.port for name, record in alive.items()})
    grafana = services.grafana_command(environ)
    wanted = [name for name in services.NAMES if name != "grafana" or grafana is not None]
    missing = [name for name in wanted if name not in alive]
    if missing:
        check_free({name: getattr(ports, name) for name in missing})
        environment.ensure(layout, "exporter", environ, say)
    commands = tools.ensure(layout, environ, say)
    every = {
        "exporter": services.exporter(layout, ports, environ),
        "alertmanager": services.alertmanager(layout, ports, commands["alertmanager"], environ),
        "prometheus": services.prometheus(layout, ports, commands["prometheus"]),
        **({"grafana": services.grafana(layout, ports, grafana)} if grafana is not None else {}),
    }
    changed = [name for name, record in alive.items() if name in every and every[name].fingerprint != record.fingerprint]
    if changed:
        say(f"{', '.join(changed)}: running with other settings than these would be; `make down up` starts anew")
    if not missing:
        say("everything runs already, nothing was changed")
        return
    for name in missing:
        every[name].write()
    _check(commands, layout)
    _start([every[name] for name in missing], layout, environ, say)


def running(layout: Layout) -> dict[str, Running]:
    """What was started here and lives, by name."""
    records = (Running.load(layout.run, name) for name in services.NAMES)
    return {record.name: record for record in records if record is not None and record.process.alive}


def _check(commands: Mapping[str, str], layout: Layout) -> None:
    """Says what is wrong with the configuration before a service does in its log."""
    for command in (
        (commands["promtool"], "check", "config", str(layout.state / "prometheus/config/prometheus.yml")),
        (commands["amtool"], "check-config", str(layout.state / "alertmanager/alertmanager.yml")),
    ):
        if not Path(command[-1]).exists():
            continue
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            raise Problem(f"the configuration is not valid:\n{(done.stdout + done.stderr).strip()}")


def _start(missing: list[Service], layout: Layout, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    started: list[tuple[Service, Running]] = []
    written = {service.name: _size(service.log) for service in missing}
    with _undone_on_failure(started, layout):
        for service in missing:
            try:
                started.append((service, service.start(environ, layout.run)))
            except OSError as error:
                raise Problem(f"{service.name} could not be started: {error}") from None
        say(f"waiting until {', '.join(service.name for service in missing)} can work")
        for service, record in started:
            if not _comes_up(record):
                state = "is not ready after a minute" if record.process.alive else "ended at once"
                words = tail(service.log, _LAST_LINES, written[service.name])
                raise Problem(f"{service.name} {state}. The end of {layout.shown(service.log)}:\n{words}")


def _comes_up(record: Running) -> bool:
    """Whether it becomes ready; a process that ended is not waited for, whoever answers on its port."""
    wait_until(lambda: record.is_ready() or not record.process.alive, _PATIENCE)
    return record.process.alive and record.is_ready()


@contextmanager
def _undone_on_failure(started: list[tuple[Service, Running]], layout: Layout) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for _, record in reversed(started):
            record.process.end()
            record.forget(layout.run)
        raise


def tail(path: Path, lines: int, since: int = 0) -> str:
    """The last lines of a log that were written after its byte `since`, indented; "" when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(since if since <= _size(path) else 0, _size(path) - 400 * lines))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
