"""`headway config`: the effective configuration and where each value came from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import CommandError, Exit
from headway.cli.settings_flags import add_flags, resolve
from headway.cli.text import GAP, clean, terminal_width, wrapped
from headway.settings import SETTINGS

if TYPE_CHECKING:
    from headway.cli.command import Subparsers
    from headway.effective import Row

DESCRIPTION = """\
Prints every setting with its value and where the value came from: default, file with line, environment or flag. By itself it says
what headway serve would take if it were called here, with the same flags, so that a change can be looked at before it is made;
nothing needs to run. With --running it asks the exporter what it was started with (role operator)."""
EXAMPLES = """\
  headway config --running
  headway config --config headway.yaml
  headway config --json | jq -r .listen.value
"""
USUAL: Final = 32  # characters of a value; longer ones are commands, addresses and lists
MOST_INDENT: Final = 40


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "config", run, "print the effective configuration", DESCRIPTION, EXAMPLES)
    parser.add_argument("--running", action="store_true", help="of the exporter that runs, not of one that would be started here")
    parser.add_argument("--json", action="store_true", help="as JSON: {name: {value, source}}")
    add_connection_flags(parser)
    add_flags(parser)


def run(args: argparse.Namespace) -> int:
    from headway.effective import values

    rows = of_running(args) if args.running else values(resolve(args))
    if args.json:
        print(json.dumps({name: {"value": value, "source": source} for name, value, source in rows}, indent=2))
    else:
        print("\n".join(table([("SETTING", "VALUE", "FROM"), *rows], terminal_width())))
    return Exit.OK


def table(rows: Sequence[tuple[str, str, str]], width: int | None) -> Iterator[str]:
    """Three columns. The second is as wide as usual values are: a long one, such as a command, does not push all others aside. On a
    terminal what does not fit its line is broken, and stands below its name."""
    cleaned = [(clean(name), clean(value), clean(source)) for name, value, source in rows]
    names = max(len(name) for name, _, _ in cleaned)
    values = max(len(value) for _, value, _ in cleaned if len(value) <= USUAL)
    indent = " " * min(names + GAP, MOST_INDENT)
    for name, value, source in cleaned:
        line = f"{name:<{names}}{'':{GAP}}{value:<{values}}{'':{GAP}}{source}"
        if width is None or len(line) <= width:
            yield line
            continue
        yield from wrapped([f"{name:<{names}}{'':{GAP}}{value}".rstrip()], width, len(indent))
        yield from wrapped([f"{indent}from {source}"], width)


def of_running(args: argparse.Namespace) -> list[Row]:
    if args.config or any(getattr(args, name) is not None for name in SETTINGS):
        raise CommandError("--running asks the exporter what it was started with: leave the settings out", Exit.USAGE)
    from headway.effective import Row

    return [Row(name, one["value"], one["source"]) for name, one in connect(args).settings().items()]
