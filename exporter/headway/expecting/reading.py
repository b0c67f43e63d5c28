"""The section `expect` of configuration files: each field with its form, and what must fit together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headway.errors import ConfigError
from headway.expecting.definition import NAME_MAX, Expected
from headway.faults import Faults
from headway.forms import Form, duration
from headway.services.cron import read_cron, read_zone
from headway.services.definition import Schedule
from headway.yamlfile import Reader, fields, items, one, raw_of

if TYPE_CHECKING:
    import yaml

SECTION: Final = "expect"
CRON: Final = Form('a cron expression of five fields ("30 2 * * *"), or @daily and its like', read_cron)
ZONE: Final = Form("an IANA name such as Europe/Berlin", read_zone)
FIELDS: Final[Mapping[str, Reader]] = {
    "schedule": one(CRON),
    "time_zone": one(ZONE),
    "every": one(duration(least=1)),
    "grace": one(duration()),
}


def read_expected(node: yaml.Node, path: Path, faults: Faults) -> list[Expected]:
    """Those of one file. `faults` is told the field of what is wrong, and its line."""
    found: list[Expected] = []
    for name, section, place in items(node, SECTION, path, faults):
        with faults.noted():
            if not 0 < len(name.strip()) <= NAME_MAX:
                raise ConfigError(f"{place}: a name has 1 to {NAME_MAX} characters", field=SECTION)
            found.append(_expected(name, section, place, path))
    return found


def checked_expected(expected: Iterable[Expected], scheduled: Collection[str], faults: Faults) -> tuple[Expected, ...]:
    """All of all files. `scheduled`: the services with a schedule. `faults` is told of two of one name."""
    by_name: dict[str, Expected] = {}
    for this in expected:
        with faults.noted():
            if (other := by_name.get(this.name)) is not None:
                raise ConfigError(f"{this.place}: {SECTION}.{this.name} stands there twice; first in {other.place}", field=SECTION)
            if this.name in scheduled:
                raise ConfigError(
                    f"{this.place}: {SECTION}.{this.name} is a service with a schedule, and its missed runs are told; "
                    "leave one of the two out",
                    field=f"{SECTION}.{this.name}",
                )
            by_name[this.name] = this
    return tuple(by_name.values())


def _expected(name: str, node: yaml.Node, place: str, path: Path) -> Expected:
    where = f"{SECTION}.{name}"
    raw = raw_of(node)
    if isinstance(raw, str) and not raw.startswith("{"):
        try:
            return Expected(name=name, schedule=Schedule(cron=read_cron(raw)), place=place)
        except ValueError as error:
            raise ConfigError(
                f"{where}: {raw[:60]!r} cannot be used ({error}); accepted: {CRON.accepts} ({place})", field=where
            ) from None
    given = fields(node, where, path, FIELDS)
    if ("schedule" in given) == ("every" in given):
        raise ConfigError(f'{where}: give either schedule ("30 2 * * *") or every (1h) ({place})', field=where)
    zone = given.pop("time_zone", None)
    if "schedule" in given:
        given["schedule"] = Schedule(cron=given["schedule"], time_zone=zone)
    elif zone is not None:
        raise ConfigError(f"{where}.time_zone: needs a schedule ({place})", field=f"{where}.time_zone")
    return Expected(name=name, place=place, **given)
