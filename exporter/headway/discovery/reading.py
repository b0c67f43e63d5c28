"""The section `discover` of configuration files: each field with its form, and what must fit together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headway.discovery.rule import NAME_MAX, PLACEHOLDER, Rule
from headway.errors import ConfigError
from headway.faults import Faults
from headway.forms import boolean, choice, text
from headway.model import Kind
from headway.yamlfile import Field, Reader, fields, items, one, raw_of, shown, words

if TYPE_CHECKING:
    import yaml

SECTION: Final = "discover"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
CONDITIONS: Final = ("pid_file", "port", "command", "cwd", "env", "run_by")


def read_rules(node: yaml.Node, path: Path, faults: Faults) -> list[Rule]:
    """The rules of one file, in its order. `faults` is told the field of what is wrong, and its line."""
    found: list[Rule] = []
    for name, section, place in items(node, SECTION, path, faults):
        with faults.noted():
            if not NAME.fullmatch(name):
                raise ConfigError(
                    f"{place}: {name[:80]!r} cannot be the name of a rule; accepted: up to 64 letters, digits, . _ and -, the "
                    "first a letter or digit",
                    field=SECTION,
                )
            found.append(_rule(name, section, place, path))
    return found


def checked_rules(rules: Iterable[Rule], faults: Faults) -> tuple[Rule, ...]:
    """All rules of all files. `faults` is told of two of one name."""
    by_name: dict[str, Rule] = {}
    for rule in rules:
        with faults.noted():
            if (other := by_name.get(rule.name)) is not None:
                raise ConfigError(f"{rule.place}: {SECTION}.{rule.name} stands there twice; first in {other.place}", field=SECTION)
            by_name[rule.name] = rule
    return tuple(by_name.values())


def _rule(name: str, node: yaml.Node, place: str, path: Path) -> Rule:
    where = f"{SECTION}.{name}"
    given = fields(node, where, path, RULE)
    if not any(condition in given for condition in CONDITIONS):
        raise ConfigError(
            f"{place}: {where} says nothing of whom to find; give at least one of {', '.join(CONDITIONS)}", field=where
        )
    for theirs, ours in (("type", "kind"), ("name", "title"), ("port", "ports")):
        if theirs in given:
            given[ours] = given.pop(theirs)
    for word in PLACEHOLDER.findall(given.get("title", "")):
        missing = _missing(word, given)
        if missing is not None:
            raise ConfigError(f"{where}.name: {{{word}}} needs {missing} ({place})", field=f"{where}.name")
    return Rule(name=name, place=place, **given)


def _missing(word: str, given: Mapping[str, object]) -> str | None:
    if word == "port":
        return None if "ports" in given else "a port"
    if word == "pid_file":
        return None if "pid_file" in given else "a pid_file"
    if word.isdecimal():
        groups = re.compile(str(given.get("command", ""))).groups
        return None if int(word) <= groups else f"a command with {word} group{'s' if word != '1' else ''}: ( … )"
    return None


# ── readers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _ports(field: Field) -> tuple[int, ...]:
    found = words(field)
    for word in found:
        if not re.fullmatch("[0-9]{1,5}", word) or not 1 <= int(word) <= 65_535:
            raise field.wrong(f"{shown(word)} is no port; accepted: 1 to 65535, or a list of such")
    return tuple(dict.fromkeys(int(word) for word in found))


def _regex(field: Field) -> str:
    found = one(text())(field)
    try:
        re.compile(found)
    except re.error as error:
        raise field.wrong(f"{shown(found)} is no regular expression: {error}") from None
    return found


def _path(field: Field) -> str:
    """What is relative is so to the file."""
    return str(field.path.parent.absolute() / Path(one(text())(field)).expanduser())


def _env(field: Field) -> tuple[tuple[str, str | None], ...]:
    found = []
    for word in words(field):
        name, equals, value = word.partition("=")
        if not VARIABLE.fullmatch(name):
            raise field.wrong(f"{shown(name)} is no name of a variable; accepted: VARIABLE or VARIABLE=value, or a list of such")
        found.append((name, value if equals else None))
    return tuple(found)


def _title(field: Field) -> str:
    found = one(text(most=NAME_MAX))(field)
    rest = PLACEHOLDER.sub("", found)
    if "{" in rest or "}" in rest:
        raise field.wrong(
            f"{shown(str(raw_of(field.node)))} cannot be used; between braces there may be port, pid_file, cwd, user, or the "
            "number of a group of command"
        )
    return found


_label: Final = one(text(most=256))

RULE: Final[Mapping[str, Reader]] = {
    "pid_file": _path,
    "port": _ports,
    "command": _regex,
    "cwd": _path,
    "env": _env,
    "run_by": words,
    "name": _title,
    "type": lambda field: Kind(one(choice(*Kind))(field)),
    "project": _label,
    "task": _label,
    "attempt": _label,
    "agent": _label,
    "group": _label,
    "user": _label,
    "description": one(text()),
    "executor": one(boolean()),
    "children": one(boolean()),
}
