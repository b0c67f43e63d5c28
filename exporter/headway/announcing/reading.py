"""The sections `announce` of configuration files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headway.announcing.rule import AnnounceRule, When
from headway.errors import ConfigError
from headway.faults import Faults
from headway.forms import choice, duration
from headway.model import Kind
from headway.yamlfile import Field, fields, items, one, raw_of, suggestion

if TYPE_CHECKING:
    import yaml

LONGEST_PATTERN: Final = 200


def read_rules(node: yaml.Node, path: Path, faults: Faults) -> list[AnnounceRule]:
    """The rules of one file, those for kinds before those for names. `faults` is told the field of what is wrong, and its line."""
    found: list[AnnounceRule] = []
    for section, rules, place in items(node, "announce", path, faults):
        with faults.noted():
            if section not in ("type", "name"):
                raise ConfigError(
                    f"{place}: unknown section announce.{section}{suggestion(section, ['type', 'name'])}", field="announce"
                )
            for key, value, line in items(rules, f"announce.{section}", path, faults):
                with faults.noted():
                    found.append(_rule(section, key, Field(value, f"announce.{section}.{key}", line, path)))
    return sorted(found, key=lambda rule: rule.kind is None)


def _rule(section: str, key: str, field: Field) -> AnnounceRule:
    if section == "type":
        if key not in list(Kind):
            raise ConfigError(f"{field.place}: unknown type {key}{suggestion(key, list(Kind))}", field=field.name)
        return AnnounceRule(**_said(field), kind=Kind(key), place=field.place)
    if not 0 < len(key) <= LONGEST_PATTERN:
        raise ConfigError(f"{field.place}: a pattern of a name has 1 to {LONGEST_PATTERN} characters", field=field.name)
    return AnnounceRule(**_said(field), name=key, place=field.place)


def _said(field: Field) -> dict[str, Any]:
    raw = raw_of(field.node)
    if isinstance(raw, str) and not raw.startswith("{"):
        return {"when": _when(field)}
    return {"when": When.ALWAYS} | fields(field.node, field.name, field.path, {"when": _when, "longer_than": one(duration())})


def _when(field: Field) -> When:
    return When(one(choice(*When))(field))
