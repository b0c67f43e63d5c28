"""docs/cli.md, from the parsers themselves: `python -m headway.cli.document` prints it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

from headway.cli.exits import Exit
from headway.cli.main import build_parser
from headway.settings import SETTINGS


def document() -> str:
    parser = build_parser()
    parts = [
        "# The command line",
        "",
        "<!-- Made from the parsers by `python -m headway.cli.document`; a test holds it current. -->",
        "",
        "Results go to stdout, everything else to stderr: an error is one sentence that ends with what to do next. The commands",
        "that ask the exporter find it at `--url`, else `HEADWAY_URL`, else `http://127.0.0.1:14323`, and their key in",
        "`--key-file`, else `HEADWAY_KEY`, else the file `HEADWAY_KEY_FILE`, else, for an exporter on this machine that belongs to",
        "the same user or root, `admin.key` of the default data directory (or HEADWAY_DATA_DIR) if they may read it. `NO_COLOR`",
        "switches colours off, `HEADWAY_DEBUG=1` shows where an unexpected error came from.",
        "",
        "| exit code | means |",
        "|---|---|",
        *(f"| {code.value} | {code.meaning} |" for code in Exit),
    ]
    for name, command in commands_of(parser):
        parts += ["", f"## headway {name}", "", command.description or ""]
        nested = list(commands_of(command))
        if nested:
            for verb, inner in nested:
                parts += ["", f"### headway {name} {verb}", "", inner.description or "", *flags(inner), *examples(inner)]
        parts += [*flags(command), *examples(command)]
    return "\n".join(parts).rstrip() + "\n"


# These take every setting, or the data directory, as a flag; of others, a flag of the same name is their own.
SETTINGS_COMMANDS: Final = tuple(
    f"headway {name}" for name in ("serve", "config", "backup", "restore", "key create", "key list", "key revoke")
)


def commands_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def flags(parser: argparse.ArgumentParser) -> list[str]:
    """A table of the arguments; the settings, which `serve` and `config` take, have a page of their own."""
    rows, settings = [], 0
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction | argparse._HelpAction):
            continue
        if parser.prog in SETTINGS_COMMANDS and action.dest in SETTINGS:
            settings += 1
            continue
        takes_value = action.nargs != 0
        choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else None
        word = str(action.metavar or choices or action.dest.upper())
        usage = ", ".join(action.option_strings) + (f" {word}" if takes_value else "") if action.option_strings else word
        help_text = (action.help or "").replace("%%", "%")
        required = " (required)" if action.required and action.option_strings else ""
        rows.append(f"| `{_cell(usage)}` | {_cell(help_text + required)} |")
    if settings == 1:
        rows.append("| `--data-dir DIR` | which data directory, see [settings](settings.md) |")
    elif settings:
        rows.append("| `--listen HOST:PORT` … | every [setting](settings.md) |")
    return ["", "| argument | does |", "|---|---|", *rows] if rows else []


def examples(parser: argparse.ArgumentParser) -> list[str]:
    if not parser.epilog:
        return []
    lines = parser.epilog.removeprefix("examples:\n").rstrip().splitlines()
    return ["", "```", *(line.removeprefix("  ") for line in lines), "```"]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(document(), end="")
