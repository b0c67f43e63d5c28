"""Starting the stack: nothing is started before everything is known to fit, and what was started for nothing is ended again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stack import checks, environment, services, tools
from stack.down import end_kept
from stack.exporter import Unanswered, call, supervised
from stack.layout import Layout
from stack.ports import Ports, check_free, remembered
from stack.problem import Problem
from stack.service import Running, Service
from stack.waiting import wait_until

# What `headway serve` needs, `headway mcp`, and the examples of README: rich comes with the exporter.
EXTRAS: Final = "exporter,mcp,tqdm"
_PATIENCE: Final = 60.0  # s until a service that still lives counts as one that does not come up
_LAST_LINES: Final = 15


def up(layout: Layout, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """Starts what does not run yet and returns when it is ready. Raises Problem; then nothing new is left running. What is
    configured is looked at whether something has to be started or not."""
    own, others = running(layout), supervised(layout)
    alive = {name: record.port for name, record in own.items()}
    alive |= {name: other.port for name, other in others.items() if other.process is not None}
    ports = Ports.of(environ, alive, remembered(layout.ports))
    grafana = services.grafana_command(environ)
    wanted = [name for name in services.NAMES if name != "grafana" or grafana is not None]
    missing = [name for name in wanted if name not in alive]
    with checks.running_on(list(alive)):
        services.check_configurations(layout, environ)
        if missing:
            check_free({name: getattr(ports, name) for name in missing})
            environment.ensure(layout, EXTRAS, environ, say)
        commands = tools.ensure(layout, environ, say)
        every = checks.everything(layout, ports, commands, environ, link="prometheus" in missing)
        supervisable = services.configuration(every)
    said = settings_of(layout)
    changed = [name for name in alive if name in every and every[name].fingerprint != said.get(name)]
    if changed:
        advice = "`make down up`, with the same variables before it, starts anew"
        say(f"{', '.join(changed)}: running with other settings than these would be; {advice}")
    if not missing:
        say("everything runs already, nothing was changed")
        return
    for name in missing:
        every[name].write()
    ports.remember(layout.ports)
    if "exporter" not in alive:
        layout.services.write_text(supervisable)
    fingerprints = said | {name: every[name].fingerprint for name in missing}
    (layout.run / "settings.txt").write_text("".join(f"{name} {fingerprint}\n" for name, fingerprint in fingerprints.items()))
    _start(every["exporter"], own.get("exporter"), missing, layout, environ, say)


def settings_of(layout: Layout) -> dict[str, str]:
    """With what settings each was last started: their fingerprint by name."""
    try:
        rows = [line.split() for line in (layout.run / "settings.txt").read_text().splitlines()]
    except OSError:
        return {}
    return {row[0]: row[1] for row in rows if len(row) == 2}


def running(layout: Layout) -> dict[str, Running]:
    """The exporter, if it was started here and lives."""
    record = Running.load(layout.run, "exporter")
    return {"exporter": record} if record is not None and record.process.alive else {}


def _start(
    exporter: Service,
    known: Running | None,
    missing: list[str],
    layout: Layout,
    environ: Mapping[str, str],
    say: Callable[[str], None],
) -> None:
    """Starts the exporter unless it runs (`known`), and has it start the others."""
    written = {name: _size(layout.log(name)) for name in missing}
    with _undone_on_failure(layout, known is None, [name for name in missing if name != "exporter"]):
        record = known
        try:
            record = record or exporter.start(environ, layout.run)
        except OSError as error:
            raise Problem(f"exporter could not be started: {error}") from None
        say(f"waiting until {', '.join(missing)} can work")
        if not _comes_up(record):
            state = "is not ready after a minute" if record.process.alive else "ended at once"
            ended = [f"exporter {state}. {_end_of_log(layout, 'exporter', written.get('exporter', 0))}"]
            raise Problem("\n".join(filter(None, (*ended, services.remembered_configurations(layout, environ)))))
        try:
            found = call(layout, record.url, "start-all", {"group": "stack", "wait": _PATIENCE}, _PATIENCE + 30)
        except Unanswered as error:
            raise Problem(f"the exporter at {record.url} cannot be asked to start the others: {error}") from None
        for one in found:
            if one["status"] != "running":
                why = one["reason"] or "not ready after a minute"
                words = _end_of_log(layout, one["name"], written.get(one["name"], 0))
                raise Problem(f"{one['name']} is {one['status']}: {why}. {words}")


def _comes_up(record: Running) -> bool:
    """Whether it becomes ready; a process that ended is not waited for, whoever answers on its port."""
    wait_until(lambda: record.is_ready() or not record.process.alive, _PATIENCE)
    return record.process.alive and record.is_ready()


@contextmanager
def _undone_on_failure(layout: Layout, whole: bool, names: list[str]) -> Iterator[None]:
    """`whole`: the exporter is ended too, for it was started in vain."""
    try:
        yield
    except BaseException:
        end_kept(layout, names)
        record = Running.load(layout.run, "exporter")
        if whole and record is not None:
            record.process.end()
            record.forget(layout.run)
        raise


def _end_of_log(layout: Layout, name: str, since: int) -> str:
    return f"The end of {layout.shown(layout.log(name))}:\n{tail(layout.log(name), _LAST_LINES, since)}"


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
