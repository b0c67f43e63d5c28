"""The section `integrations` of configuration files."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headway.errors import ConfigError
from headway.faults import Faults
from headway.forms import choice, duration, text
from headway.model import Kind, Status
from headway.polling.definition import Integration
from headway.yamlfile import Field, Reader, fields, items, one, raw_of, shown, suggestion, texts

if TYPE_CHECKING:
    import yaml

SECTION: Final = "integrations"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
# Of a process: id and those that may be taken from an entry.
FIELDS: Final = (
    *("id", "name", "status", "stage", "waiting_for", "summary", "error", "log", "current", "total", "unit", "parent"),
    *("user", "project", "task", "attempt", "agent", "group", "description", "cwd"),
)
STATUSES: Final = {status.value: status for status in (Status.RUNNING, Status.DONE, Status.FAILED, Status.CANCELLED)}
ENDS: Final = tuple(name for name in STATUSES if name != Status.RUNNING.value)


def read_integrations(node: yaml.Node, path: Path, faults: Faults) -> list[Integration]:
    """Those of one file, in its order. `faults` is told the field of what is wrong, and its line."""
    found = []
    for name, section, place in items(node, SECTION, path, faults):
        with faults.noted():
            if not NAME.fullmatch(name):
                raise ConfigError(f"{place}: {name[:80]!r} is no name; accepted: up to 32 letters, digits, _ and -", field=SECTION)
            found.append(_integration(name, section, place, path))
    return found


def _integration(name: str, section: yaml.Node, place: str, path: Path) -> Integration:
    where = f"{SECTION}.{name}"
    given = fields(section, where, path, INTEGRATION)
    for needed in ("command", "fields"):
        if needed not in given:
            raise ConfigError(f"{where}.{needed} is missing ({place})", field=f"{where}.{needed}")
    if "type" in given:
        given["kind"] = given.pop("type")
    return Integration(name=name, place=place, **given)


def checked_integrations(integrations: Iterable[Integration], faults: Faults) -> tuple[Integration, ...]:
    """All of all files. `faults` is told of two of one name."""
    by_name: dict[str, Integration] = {}
    for one_ in integrations:
        with faults.noted():
            if (other := by_name.get(one_.name)) is not None:
                raise ConfigError(f"{one_.place}: {SECTION}.{one_.name} stands there twice; first in {other.place}", field=SECTION)
            by_name[one_.name] = one_
    return tuple(by_name.values())


def _command(field: Field) -> tuple[str, ...]:
    """A list of words, or a line that is divided as a shell does it; no shell runs it."""
    raw = raw_of(field.node)
    try:
        found = tuple(shlex.split(raw)) if isinstance(raw, str) else tuple(raw or ())
    except ValueError as error:
        raise field.wrong(f"it cannot be divided into words: {error}") from None
    if not found or any(not word or "\0" in word for word in found):
        raise field.wrong("accepted: a command with its arguments, as a line or as a list")
    return found


def _fields(field: Field) -> dict[str, str]:
    found = texts(field)
    for name, expression in found.items():
        if name not in FIELDS:
            raise field.wrong(f"unknown field {name}{suggestion(name, FIELDS)}")
        if not expression:
            raise field.wrong(f"{name}: accepted: a path into an entry (usage.input), a text with such ({{label}}), or =text")
    if "id" not in found:
        raise field.wrong("id is missing: what tells the entries apart")
    return found


def _statuses(field: Field) -> dict[str, Status]:
    found = {}
    for word, name in texts(field).items():
        if name not in STATUSES:
            raise field.wrong(f"{shown(name)} is no status; accepted: {', '.join(STATUSES)}")
        found[word] = STATUSES[name]
    return found


def _folder(field: Field) -> str:
    return str(field.path.parent.absolute() / Path(one(text())(field)).expanduser())


INTEGRATION: Final[Mapping[str, Reader]] = {
    "command": _command,
    "every": one(duration(least=1)),
    "timeout": one(duration(least=0.1)),
    "items": one(text()),
    "type": lambda field: Kind(one(choice(*Kind))(field)),
    "fields": _fields,
    "metadata": texts,
    "statuses": _statuses,
    "vanished": lambda field: STATUSES[one(choice(*ENDS))(field)],
    "stuck_after": one(duration(least=1)),
    "cwd": _folder,
    "env": texts,
}
