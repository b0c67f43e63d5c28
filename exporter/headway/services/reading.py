"""The sections `services` of configuration files: each field with its form, and what must fit together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from headway import resources
from headway.errors import ConfigError
from headway.faults import Faults
from headway.forms import Form, Raw, boolean, choice, count, duration, size, split_address, text
from headway.ids import PATH_WORDS
from headway.model import Kind
from headway.resources import Resources
from headway.services.cron import read_cron, read_zone
from headway.services.definition import Health, LogRotation, Missed, Overlap, Policy, Restart, Schedule, Service, in_order
from headway.yamlfile import Field, Reader, fields, items, one, raw_of, shown, suggestion, texts, words

if TYPE_CHECKING:
    import yaml

T = TypeVar("T")
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SHELL: Final = ("/bin/sh", "-c")
LONGEST_GRACE: Final = 60.0
SIGNALS: Final = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGKILL")


def read_services(node: yaml.Node, path: Path, faults: Faults) -> list[Service]:
    """The services of one file. `faults` is told the field of what is wrong, and its line; of such a one only what others are
    compared with is there."""
    found = []
    for name, section, place in items(node, "services", path, faults):
        with faults.noted():
            found.append(_named(name, section, place, path))
            continue
        found.append(_compared(name, section, place, path))
    return found


def _compared(name: str, section: yaml.Node, place: str, path: Path) -> Service:
    """The port and whom it needs, as far as they can be read."""
    given: dict[str, Any] = {}
    silent = Faults()
    with silent.noted():
        for key, value, line in items(section, f"services.{name}", path, silent):
            if key in ("port", "depends_on"):
                with silent.noted():
                    given[key] = SERVICE[key](Field(value, f"services.{name}.{key}", line, path))
    return Service(name=name, place=place, command="", cwd="", **given)


def _named(name: str, section: yaml.Node, place: str, path: Path) -> Service:
    if not NAME.fullmatch(name) or name.lower() in PATH_WORDS:
        what = "is a word of the API's paths" if name.lower() in PATH_WORDS else "cannot be the name of a service"
        raise ConfigError(
            f"{place}: {name[:80]!r} {what}; accepted: up to 64 letters, digits, . _ and -, the first a letter or digit",
            field="services",
        )
    return _service(name, section, place, path)


def checked(services: Iterable[Service], faults: Faults) -> tuple[Service, ...]:
    """All services of all files, in the order of starting. `faults` is told of two of one name, an unknown or circular
    dependency, one port for two."""
    by_name: dict[str, Service] = {}
    ports: dict[int, Service] = {}
    for service in services:
        with faults.noted():
            if (other := by_name.get(service.name)) is not None:
                raise ConfigError(
                    f"{service.place}: services.{service.name} stands there twice; first in {other.place}", field="services"
                )
            by_name[service.name] = service
            if service.port is not None and (first := ports.setdefault(service.port, service)) is not service:
                raise ConfigError(
                    f"services.{service.name}.port: {service.port} is the port of {first.name} too "
                    f"({service.place}, {first.place})",
                    field=f"services.{service.name}.port",
                )
    for service in by_name.values():
        for needed in service.depends_on:
            with faults.noted():
                _can_wait(service, needed, by_name)
    with faults.noted():
        try:
            return tuple(in_order(by_name.values()))
        except ValueError as error:
            raise ConfigError(
                f"services depend on each other in a circle: {error}; leave one depends_on out", field="services"
            ) from None
    return ()


def _can_wait(service: Service, needed: str, by_name: Mapping[str, Service]) -> None:
    field = f"services.{service.name}.depends_on"
    if needed not in by_name:
        raise ConfigError(f"{field}: unknown service {needed}{suggestion(needed, by_name)} ({service.place})", field=field)
    if by_name[needed].schedule is not None:
        raise ConfigError(f"{field}: {needed} runs by a schedule: nothing can wait for it ({service.place})", field=field)


def _service(name: str, node: yaml.Node, place: str, path: Path) -> Service:
    where = f"services.{name}"
    given = fields(node, where, path, SERVICE)
    if "type" in given:
        given["kind"] = given.pop("type")
    if "command" not in given:
        raise ConfigError(f"{place}: {where} has no command: a text for the shell, or a list of words", field=f"{where}.command")
    if "schedule" in given:
        given.setdefault("kind", Kind.CRON)
        # What a schedule starts is started again when it is due; a service that shall live needs none.
        given.setdefault("restart", Restart(policy=Policy.NEVER))
        if given["restart"].policy is Policy.ALWAYS:
            raise ConfigError(f"{where}.restart: always does not go with a schedule ({place})", field=f"{where}.restart")
    if given.get("kill_on_timeout") and "timeout" not in given:
        raise ConfigError(f"{where}.kill_on_timeout: needs a timeout ({place})", field=f"{where}.kill_on_timeout")
    # What is relative is so to the file, as a reader of it would think.
    given["cwd"] = str((path.parent / Path(given.get("cwd", ".")).expanduser()).resolve())
    if "pid_file" in given:
        given["pid_file"] = str(path.parent / Path(given["pid_file"]).expanduser())
    return Service(name=name, place=place, **given)


# ── readers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _port(field: Field) -> int:
    number = one(count())(field)
    if number > 65_535:
        raise field.wrong(f"{number} is no port; accepted: 1 to 65535")
    return number


def _command(field: Field) -> str | tuple[str, ...]:
    raw = raw_of(field.node)
    if isinstance(raw, str) and raw.strip() and "\0" not in raw:
        return raw
    if isinstance(raw, list) and raw and raw[0]:
        return tuple(raw)
    raise field.wrong("accepted: a text for the shell, or a list of words")


def _check_command(field: Field) -> tuple[str, ...]:
    found = _command(field)
    return (*SHELL, found) if isinstance(found, str) else found


def _env(field: Field) -> dict[str, str]:
    found = texts(field)
    for name in found:
        if not VARIABLE.fullmatch(name):
            raise field.wrong(f"{shown(name)} is no name of a variable; accepted: letters, digits and _, the first no digit")
    return found


def _tcp(field: Field) -> str:
    raw = raw_of(field.node)
    text = f"127.0.0.1:{raw}" if isinstance(raw, str) and raw.isdecimal() else raw
    try:
        assert isinstance(text, str)
        split_address(text)
    except (ValueError, AssertionError):
        raise field.wrong(f"{shown(raw or '')} cannot be used; accepted: a port, or host:port") from None
    return text


def _regex(field: Field) -> str:
    text = raw_of(field.node)
    try:
        re.compile(str(text))
    except re.error as error:
        raise field.wrong(f"{shown(text or '')} is no regular expression: {error}") from None
    return str(text)


def _health(field: Field) -> Health:
    given = fields(field.node, field.name, field.path, HEALTH)
    if sum(check in given for check in ("http", "tcp", "command")) != 1:
        raise field.wrong("give exactly one of http, tcp and command")
    return Health(**given)


def _restart(field: Field) -> Restart:
    raw = raw_of(field.node)
    if isinstance(raw, str) and not raw.startswith("{"):
        return Restart(policy=_policy(field))
    return Restart(**fields(field.node, field.name, field.path, RESTART))


def _schedule(field: Field) -> Schedule:
    raw = raw_of(field.node)
    if isinstance(raw, str) and not raw.startswith("{"):
        return Schedule(cron=_cron(field))
    given = fields(field.node, field.name, field.path, SCHEDULE)
    if "cron" not in given:
        raise field.wrong('there is no cron expression; accepted: cron: "0 3 * * *"')
    return Schedule(**given)


def _http(raw: Raw) -> str:
    if not isinstance(raw, str) or not re.fullmatch(r"https?://[^\s/]+\S*", raw):
        raise ValueError("not an http address")
    return raw


def _grace(field: Field) -> float:
    seconds = one(duration())(field)
    if seconds > LONGEST_GRACE:
        raise field.wrong(f"at most {LONGEST_GRACE:g} s")
    return seconds


def _kind(field: Field) -> Kind:
    return Kind(one(choice(*Kind))(field))


def _policy(field: Field) -> Policy:
    return Policy(one(choice(*Policy))(field))


def _signal(field: Field) -> str:
    word = one(choice(*(name.lower() for name in SIGNALS), *(name.removeprefix("SIG").lower() for name in SIGNALS)))(field).upper()
    return word if word.startswith("SIG") else f"SIG{word}"


def _limit(name: str) -> Reader:
    def read(field: Field) -> object:
        try:
            return getattr(resources, name)(one(text())(field))
        except ValueError as error:
            raise field.wrong(str(error)) from None

    return read


_cron: Final = one(Form('five fields, such as "0 3 * * 1-5": minute hour day month weekday, or @daily and its like', read_cron))
_zone: Final = one(Form("a time zone by its IANA name, such as Europe/Berlin", read_zone))
_label: Final = one(text(most=256))
_flag: Final = one(boolean())
_seconds: Final = one(duration())

HEALTH: Final[Mapping[str, Reader]] = {
    "http": one(Form("an address that begins with http:// or https://", _http)),
    "tcp": _tcp,
    "command": _check_command,
    "interval": one(duration(least=0.5)),
    "timeout": one(duration(least=0.1)),
    "failures": one(count()),
    "restart": _flag,
}
RESTART: Final[Mapping[str, Reader]] = {
    "policy": _policy,
    "backoff": one(duration(least=0.1)),
    "longest": one(duration(least=0.1)),
    "tries": one(count(least=0)),
    "stable": _seconds,
}
SCHEDULE: Final[Mapping[str, Reader]] = {
    "cron": _cron,
    "time_zone": _zone,
    "overlap": lambda field: Overlap(one(choice(*Overlap))(field)),
    "missed": lambda field: Missed(one(choice(*Missed))(field)),
}
LIMITS: Final[Mapping[str, Reader]] = {name: _limit(name) for name in resources.NAMES}
LOG: Final[Mapping[str, Reader]] = {"rotate_at": one(size(least=1 << 10)), "keep": one(count())}


def _section(shape: type[T], readers: Mapping[str, Reader]) -> Reader:
    return lambda field: shape(**fields(field.node, field.name, field.path, readers))


SERVICE: Final[Mapping[str, Reader]] = {
    "command": _command,
    "cwd": one(text()),
    "env": _env,
    "port": _port,
    "health": _health,
    "pid_file": one(text()),
    "match": _regex,
    "group": _label,
    "depends_on": words,
    "limits": _section(Resources, LIMITS),
    "restart": _restart,
    "schedule": _schedule,
    "log": _section(LogRotation, LOG),
    "autostart": _flag,
    "start_timeout": one(duration(least=1)),
    "stop_signal": _signal,
    "stop_grace": _grace,
    "type": _kind,
    "description": one(text()),
    "user": _label,
    "project": _label,
    "task": _label,
    "agent": _label,
    "expected_duration": _seconds,
    "timeout": _seconds,
    "kill_on_timeout": _flag,
    "stuck_after": one(duration(least=1)),
}
