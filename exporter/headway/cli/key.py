"""`headway key`: makes, lists and revokes the keys of a data directory. Works on the files, whether the exporter runs or not."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from headway.cli.command import add_command
from headway.cli.exits import CommandError, Exit
from headway.cli.settings_flags import add_flags, resolve
from headway.cli.text import columns
from headway.datadir import read_key
from headway.errors import NotFound
from headway.keys import Key, KeyRing, Role, write_secret

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Keys open the exporter. Only their hashes are kept, in DATA_DIR/keys.json; a running exporter notices every change at once.
Roles: viewer reads; reporter creates and updates; operator ends, starts and stops; admin does all of it. A key bound to a user
acts for that user and sees only that user's processes."""
EXAMPLES = """\
  headway key create --name ci --role reporter --out ci.key     the key goes to ci.key (mode 0600)
  KEY=$(headway key create --name ada --role viewer --user ada) the key is printed, once
  headway key list
  headway key revoke 3f2a9c0d
"""


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "key", None, "make, list and revoke keys", DESCRIPTION, EXAMPLES)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", dest="verb", required=True)
    verb = add_command(verbs, "create", create, "make a key", CREATE)
    verb.add_argument("--name", required=True, help="what the key is for; each name is used once")
    verb.add_argument("--role", required=True, choices=[role.label for role in Role], help="what the key may do")
    verb.add_argument("--user", help="bind the key to this user")
    verb.add_argument("--out", metavar="FILE", help="write the key to FILE (mode 0600, replaced) instead of printing it")
    verb.add_argument("--if-absent", action="store_true", help="do nothing if there is a key of this name (and FILE holds it)")
    add_flags(verb, {"data_dir"})
    verb = add_command(verbs, "list", show, "list the keys, without their secrets")
    verb.add_argument("--json", action="store_true", help="as JSON")
    add_flags(verb, {"data_dir"})
    verb = add_command(verbs, "revoke", revoke, "make a key useless, at once")
    verb.add_argument("id", metavar="ID", help="the id or the name of the key")
    add_flags(verb, {"data_dir"})


CREATE = """\
Makes a key. Without --out it is printed to stdout, once: it cannot be had again."""


def create(args: argparse.Namespace) -> int:
    ring = ring_of(args)
    out = Path(args.out) if args.out else None
    role = Role.of(args.role)
    used = ring.exists
    existing = next((key for key in ring.list() if key.name == args.name), None) if used else None
    if existing is not None and args.if_absent:
        return keep(ring, existing, role, args.user, out)
    if out is not None and not out.parent.is_dir():
        raise CommandError(f"there is no directory {out.parent}: make it, or choose another --out")
    first = not (used and ring.configured)
    key, text = ring.create(args.name, role, args.user)
    if out is None:
        print(text)
        say(f"key {key.name} ({key.id}, {role}) made; it is shown only now")
        say_unused(ring, used or args.if_absent)
        say_closed(args, first)
        return Exit.OK
    try:
        write_secret(out, text + "\n")
    except BaseException:
        with contextlib.suppress(NotFound):
            ring.revoke(key.id)  # nobody has its text
        raise
    say(f"key {key.name} ({key.id}, {role}) made, in {out}")
    say_unused(ring, used or args.if_absent)
    say_closed(args, first)
    return Exit.OK


def say_unused(ring: KeyRing, used: bool) -> None:
    """A key for an exporter that was never there is probably one for another; with --if-absent a script makes it beforehand."""
    if not used:
        say(
            f"no exporter has run with the data directory {ring.path.parent} yet: only one that is started with it knows this key. "
            "Say where another keeps its data with --data-dir or HEADWAY_DATA_DIR (after make up: . .headway/env)"
        )


def say_closed(args: argparse.Namespace, first: bool) -> None:
    """With the first key, what worked without one works no more."""
    if first and resolve(args).settings.anonymous == "auto":
        say(
            "it is the first key: from now on reports need one too (HEADWAY_KEY, HEADWAY_KEY_FILE or --key-file; role reporter is "
            "enough), and who has none only reads. headway serve --anonymous reporter leaves it as it was"
        )


def keep(ring: KeyRing, key: Key, role: Role, user: str | None, out: Path | None) -> int:
    """--if-absent, and a key of this name exists: fine if it is what was asked for and `out` holds it."""
    again = f"revoke it (headway key revoke {key.id}) and try again, or choose another name"
    if (key.role, key.user) != (role, user):
        raise CommandError(f"the key {key.name} exists with role {key.role} and user {key.user or '(any)'}: {again}")
    if out is not None and ring.find(read_key(out) or "") != key:
        raise CommandError(f"the key {key.name} exists, but {out} does not hold it: {again}")
    say(f"key {key.name} ({key.id}, {role}) is there already")
    return Exit.OK


def show(args: argparse.Namespace) -> int:
    ring = ring_of(args)
    keys = ring.list() if ring.exists else []
    if args.json:
        fields = ("id", "name", "user")
        made = [{**{f: getattr(k, f) for f in fields}, "role": k.role.label, "created_at": moment(k.created_at)} for k in keys]
        print(json.dumps(made, indent=2))
    elif keys:
        rows = [(key.id, key.name, key.role.label, key.user or "(any)", moment(key.created_at)) for key in keys]
        print(columns(("ID", "NAME", "ROLE", "USER", "CREATED"), rows))
    else:
        say(f"no keys in {ring.path.parent} yet: the first start of `headway serve` makes one, or headway key create")
    return Exit.OK


def revoke(args: argparse.Namespace) -> int:
    ring = ring_of(args)
    keys = ring.list() if ring.exists else []
    found = next((key for key in keys if args.id in (key.id, key.name)), None)
    if found is None:
        raise CommandError(f"there is no key {args.id} in {ring.path.parent}: headway key list shows them", Exit.NOT_FOUND)
    before = ring.configured
    ring.revoke(found.id)
    say(f"key {found.name} ({found.id}, {found.role}) is revoked")
    if before and not ring.configured and resolve(args).settings.anonymous == "auto":
        say(
            "it was the last key that somebody made: from now on everybody on this machine reports without one again. "
            "headway serve --anonymous viewer keeps that closed, and so does another key"
        )
    return Exit.OK


def ring_of(args: argparse.Namespace) -> KeyRing:
    return KeyRing(resolve(args).settings.data_dir)


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def say(text: str) -> None:
    """On stderr: stdout carries only what a script wants."""
    print(text, file=sys.stderr)
