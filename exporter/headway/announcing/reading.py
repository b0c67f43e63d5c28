"""The sections `announce` of configuration files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headway.announcing.rule import AnnounceRule, When
from headway.errors import ConfigError
from headway.forms import choice, duration
from headway.model import Kind
from headway.yamlfile import Field, fields, items, one, raw_of, suggestion

if TYPE_CHECKING:
    import yaml

LONGEST_PATTERN: Final = 200


def read_rules(node: yaml.Node, path: Path) -> list[AnnounceRule]:
    """The rules of one file, those for kinds before those for names. Raises ConfigError naming the field and its line."""
    by_kind: list[AnnounceRule] = []
    by_name: list[AnnounceRule] = []
    for section, rules, place in items(node, "announce", path):
        if section not in ("type", "name"):
            raise ConfigError(
                f"{place}: unknown section announce.{section}{suggestion(section, ['type', 'name'])}", field="announce"
            )
        for key, value, line in items(rules, f"announce.{section}", path):
            field = Field(value, f"announce.{section}.{key}", line, path)
            if section == "type" and key not in list(Kind):
                raise ConfigError(f"{line}: unknown type {key}{suggestion(key, list(Kind))}", field=field.name)
            if section == "name" and not 0 < len(key) <= LONGEST_PATTERN:
                raise ConfigError(f"{line}: a pattern of a name has 1 to {LONGEST_PATTERN} characters", field=field.name)
            said = _rule(field)
            if section == "type":
                by_kind.append(AnnounceRule(**said, kind=Kind(key), place=line))
            else:
                by_name.append(AnnounceRule(**said, name=key, place=line))
    return by_kind + by_name


def _rule(field: Field) -> dict[str, Any]:
    raw = raw_of(field.node)
    if isinstance(raw, str) and not raw.startswith("{"):
        return {"when": _when(field)}
    return {"when": When.ALWAYS} | fields(field.node, field.name, field.path, {"when": _when, "longer_than": one(duration())})


def _when(field: Field) -> When:
    return When(one(choice(*When))(field))
