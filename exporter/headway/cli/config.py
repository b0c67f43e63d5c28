"""`headway config`: the effective configuration and where each value came from."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from headway.cli.command import add_command
from headway.cli.settings_flags import add_flags, resolve
from headway.cli.text import columns
from headway.configuration import ANNOUNCE_KEY, DISCOVERY_KEY, INTEGRATIONS_KEY, RULES_KEY, SERVICES_KEY, Resolved
from headway.masking import mask_command
from headway.settings import DEFAULT_RULES, RULE_FORMS, SETTINGS

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Prints every setting with its value and where the value came from: default, file with line, environment or flag. Takes the flags
of `headway serve`, so that a change can be looked at before it is made. Nothing needs to run."""
EXAMPLES = """\
  headway config
  headway config --config headway.yaml
  headway config --json | jq -r .listen.value
"""


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "config", run, "print the effective configuration", DESCRIPTION, EXAMPLES)
    parser.add_argument("--json", action="store_true", help="as JSON: {name: {value, source}}")
    add_flags(parser)


def run(args: argparse.Namespace) -> int:
    resolved = resolve(args)
    rows = values(resolved)
    if args.json:
        print(json.dumps({name: {"value": value, "source": source} for name, value, source in rows}, indent=2))
    else:
        print(columns(("SETTING", "VALUE", "FROM"), rows))
    return 0


def values(resolved: Resolved) -> list[tuple[str, str, str]]:
    """(name, value as a user would write it, source); a password in an address is masked."""
    settings, sources = resolved.settings, resolved.sources
    rows = [(name, mask_command(row.form.write(getattr(settings, name))), sources[name]) for name, row in SETTINGS.items()]
    for number, rule in enumerate(settings.threshold_rules):
        where = f"{RULES_KEY}.type.{rule.kind}" if rule.kind is not None else f"{RULES_KEY}.name.{rule.name}"
        # The first rules are those of the product, those of the file follow.
        source = "default" if number < len(DEFAULT_RULES) else sources[RULES_KEY]
        for limit, value in rule.values.items():
            rows.append((f"{where}.{limit}", "null" if value is None else RULE_FORMS[limit].write(value), source))
    for announced in resolved.announce:
        of = f"type.{announced.kind}" if announced.kind is not None else f"name.{announced.name}"
        rows.append((f"{ANNOUNCE_KEY}.{of}", str(announced), announced.place))
    rows += ((f"{SERVICES_KEY}.{service.name}", mask_command(str(service)), service.place) for service in resolved.services)
    rows += ((f"{DISCOVERY_KEY}.{rule.name}", mask_command(str(rule)), rule.place) for rule in resolved.discovery)
    rows += ((f"{INTEGRATIONS_KEY}.{one.name}", mask_command(str(one)), one.place) for one in resolved.integrations)
    return rows
