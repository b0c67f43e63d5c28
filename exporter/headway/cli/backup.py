"""`headway backup` and `headway restore`: copies of the database, made while the exporter runs, brought back while it rests."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headway.cli.command import add_command
from headway.cli.exits import CommandError, Exit
from headway.cli.settings_flags import add_flags, resolve

if TYPE_CHECKING:
    from headway.cli.command import Subparsers
    from headway.store.copying import Progress

DATABASE: Final = "headway.db"
PAGE_BYTES: Final = 4096

BACKUP = """\
Writes a complete, consistent copy of the database to FILE: all processes, their history and logs, at the moment the copy began.
The exporter may run. FILE appears whole or not at all and is never overwritten; if it is a directory, headway-TIME.db is made in
it. Keys are not in it: they are in keys.json beside the database."""
BACKUP_EXAMPLES = """\
  headway backup /var/backups/headway.db
  headway backup /var/backups            makes /var/backups/headway-20260131T235900Z.db
"""
RESTORE = """\
Puts the backup FILE in the place of the database. The exporter must be stopped. FILE is checked first; the database that was there
is kept beside it as headway.db.before-restore-TIME. A backup of an older version is brought up to date at the next start."""
RESTORE_EXAMPLES = """\
  headway restore /var/backups/headway.db
"""


def add_parser(commands: Subparsers) -> None:
    """Both commands."""
    parser = add_command(commands, "backup", run, "copy the database while the exporter runs", BACKUP, BACKUP_EXAMPLES)
    parser.add_argument("file", metavar="FILE", type=Path, help="where the copy goes: a new file, or a directory")
    add_flags(parser, {"data_dir"})
    parser = add_command(commands, "restore", run_restore, "bring a backup back", RESTORE, RESTORE_EXAMPLES)
    parser.add_argument("file", metavar="FILE", type=Path, help="a backup made by headway backup")
    add_flags(parser, {"data_dir"})


def run(args: argparse.Namespace) -> int:
    from headway.store.copying import copy_database
    from headway.store.schema import examine

    source = resolve(args).settings.data_dir / DATABASE
    target: Path = args.file
    if not source.exists():
        raise CommandError(
            f"there is no database at {source}: say where the exporter keeps its data with --data-dir or HEADWAY_DATA_DIR "
            "(after make up: . .headway/env)"
        )
    if target.is_dir():
        target = target / f"headway-{stamp()}.db"
    if not target.parent.is_dir():
        raise CommandError(f"there is no directory {target.parent}: make it, or choose another FILE")
    examine(source)
    try:
        copy_database(source, target, progress("copied"))
    except FileExistsError as error:
        raise CommandError(str(error)) from None
    print(target)
    return Exit.OK


def run_restore(args: argparse.Namespace) -> int:
    from headway.store.copying import restore
    from headway.store.lock import DataDirLock, make_data_dir

    data_dir = resolve(args).settings.data_dir
    make_data_dir(data_dir)
    with DataDirLock(data_dir):
        done = restore(args.file, data_dir / DATABASE, stamp(), progress("restored"))
    say(f"{done.processes:,} processes are back in {done.path}")
    if done.kept is not None:
        say(f"what was there before is kept in {done.kept}")
    return Exit.OK


def stamp() -> str:
    """The time now as part of a file name."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


def progress(word: str) -> Progress | None:
    """Shows how far a copy is on a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        return None

    def show(copied: int, total: int) -> None:
        share = copied / total if total else 1.0
        end = "\n" if copied == total else ""
        print(f"\r{word} {share:4.0%} of {total * PAGE_BYTES / 1e6:,.1f} MB", end=end, file=sys.stderr, flush=True)

    return show


def say(text: str) -> None:
    """On stderr: stdout carries only what a script wants."""
    print(text, file=sys.stderr)
