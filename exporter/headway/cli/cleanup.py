"""`headway cleanup`: takes out of the active view what is over."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from headway.cli.command import add_command
from headway.cli.connection import add_connection_flags, connect
from headway.cli.exits import Exit
from headway.cli.report_flags import duration
from headway.cli.text import columns

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Takes out of the active view what was given up for lost (orphaned), what is only a zombie any more, and what ended well a while ago.
Records only: no OS process is touched, everything stays in the history, and failed ones stay until they are dismissed. The exporter
does the same by itself to what ended well, half an hour after the end. Needs a key of the role operator."""
EXAMPLES = """\
  headway cleanup --dry-run
  headway cleanup --older-than 1h
"""
KINDS = (("orphans", "orphaned"), ("zombies", "zombie"), ("ended", "ended"))


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "cleanup", run, "take what is over out of the active view", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "--older-than", type=duration, default=300.0, metavar="DURATION", help="of what ended well: since when (default 5m)"
    )
    parser.add_argument("--dry-run", action="store_true", help="only show what would go")
    parser.add_argument("--json", action="store_true", help="as the JSON that the API gives")
    add_connection_flags(parser)


def run(args: argparse.Namespace) -> int:
    done = connect(args).cleanup(args.older_than, args.dry_run)
    if args.json:
        print(json.dumps(done, indent=2))
        return Exit.OK
    rows = [(word, one["name"], one["id"]) for kind, word in KINDS for one in done[kind]]
    if rows:
        print(columns(("WOULD GO" if args.dry_run else "GONE", "NAME", "ID"), rows))
    else:
        print("nothing to clean up")
    return Exit.OK
