"""What is in force, as a user would write it, and where each value came from."""

from __future__ import annotations

from typing import NamedTuple

from headway.configuration import (
    ANNOUNCE_KEY,
    DISCOVERY_KEY,
    EXPECT_KEY,
    INTEGRATIONS_KEY,
    PRICES_KEY,
    RULES_KEY,
    SERVICES_KEY,
    Resolved,
)
from headway.masking import mask_command
from headway.settings import DEFAULT_RULES, RULE_FORMS, SETTINGS


class Row(NamedTuple):
    """`source`: default, file with line, environment or flag. What looks like a secret in `value` is masked."""

    name: str
    value: str
    source: str


def values(resolved: Resolved) -> list[Row]:
    """Every setting, then the sections of the configuration, a row for each entry."""
    settings, sources = resolved.settings, resolved.sources
    rows = [Row(name, mask_command(row.form.write(getattr(settings, name))), sources[name]) for name, row in SETTINGS.items()]
    for number, rule in enumerate(settings.threshold_rules):
        where = f"{RULES_KEY}.type.{rule.kind}" if rule.kind is not None else f"{RULES_KEY}.name.{rule.name}"
        # The first rules are those of the product, those of the file follow.
        source = "default" if number < len(DEFAULT_RULES) else sources[RULES_KEY]
        for limit, value in rule.values.items():
            rows.append(Row(f"{where}.{limit}", "null" if value is None else RULE_FORMS[limit].write(value), source))
    for price in settings.prices:
        rows.append(Row(f"{PRICES_KEY}.{price.model}", f"input {price.input:g}, output {price.output:g}", price.place))
    for announced in resolved.announce:
        of = f"type.{announced.kind}" if announced.kind is not None else f"name.{announced.name}"
        rows.append(Row(f"{ANNOUNCE_KEY}.{of}", str(announced), announced.place))
    rows += (Row(f"{SERVICES_KEY}.{service.name}", mask_command(str(service)), service.place) for service in resolved.services)
    rows += (Row(f"{EXPECT_KEY}.{one.name}", str(one), one.place) for one in resolved.expected)
    rows += (Row(f"{DISCOVERY_KEY}.{rule.name}", mask_command(str(rule)), rule.place) for rule in resolved.discovery)
    rows += (Row(f"{INTEGRATIONS_KEY}.{one.name}", mask_command(str(one)), one.place) for one in resolved.integrations)
    return rows
