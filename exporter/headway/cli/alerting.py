"""`headway alerting`: the configuration of Alertmanager, and whether messages arrive."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headway.alerting.receivers import Target
from headway.alerting.rendering import render as rendered
from headway.alerting.secrets import read_secrets
from headway.alerting.version import Version, find_binary, parse_version, version_of
from headway.cli import alerting_check
from headway.cli.command import add_command
from headway.cli.exits import CommandError, Exit
from headway.keys import write_secret
from headway.settings import SETTINGS

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Alerts reach people through Alertmanager. A receiver is switched on by putting its secret file into alerting/secrets: slack.url,
discord.url, teams.url, webhook.url (an address each), telegram.yml (token, chat_id), email.yml (to, from, smarthost, username,
password); with .critical before the ending (slack.critical.url) it gets critical alerts only."""
RENDER = """\
Writes the configuration for the receivers whose secret files are there, and for the Alertmanager that is installed. `make up` does
this at every start. HEADWAY_WEBHOOK_URL is one more webhook."""
RENDER_EXAMPLES = """\
  headway alerting render --out alertmanager.yml
  headway alerting render --for 0.28 | less
"""
CHECK = """\
Says which receivers are switched on, how a message gets there, and what is wrong; with --send sends a test alert through the
running Alertmanager and says what became of it."""
CHECK_EXAMPLES = """\
  headway alerting check
  headway alerting check --send --severity critical
"""
BASE: Final = "alerting/alertmanager.yml"
# Set by .headway/env: what is in the clone is found from everywhere.
BASE_VARIABLE: Final = "HEADWAY_ALERTING_BASE"


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "alerting", None, "write and check the configuration of Alertmanager", DESCRIPTION)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", dest="verb", required=True)
    verb = add_command(verbs, "render", render, "write the configuration of Alertmanager", RENDER, RENDER_EXAMPLES)
    add_source_flags(verb)
    verb.add_argument("--out", metavar="FILE", help="write it to FILE (mode 0600, replaced) instead of printing it")
    verb = add_command(verbs, "check", check, "say which receivers work, and send a test alert", CHECK, CHECK_EXAMPLES)
    add_source_flags(verb)
    alerting_check.add_flags(verb)


def add_source_flags(parser: argparse.ArgumentParser) -> None:
    secrets = SETTINGS["alerting_secrets"]
    parser.add_argument("--base", metavar="FILE", help=f"what the receivers are added to; default: ${BASE_VARIABLE}, else {BASE}")
    parser.add_argument(
        "--secrets", metavar="DIR", help=f"the folder with the secret files; default: ${secrets.variable}, else {secrets.default}"
    )
    parser.add_argument("--templates", metavar="DIR", help="the templates, as Alertmanager reaches them; default: beside --base")
    parser.add_argument(
        "--for", dest="of_version", metavar="VERSION", help="which Alertmanager, such as 0.28; default: the one that is installed"
    )
    parser.add_argument("--exporter", metavar="URL", help="the exporter, as Alertmanager reaches it; default: $HEADWAY_URL")
    parser.add_argument("--exporter-key-file", metavar="FILE", help="a key for it (role reporter), if it wants one")
    parser.add_argument(
        "--inline", action="store_true", help="write the secrets into it: for an Alertmanager that cannot read their files"
    )


def render(args: argparse.Namespace) -> int:
    text = text_for(args, wanted_version(args))
    if args.out is None:
        sys.stdout.write(text)
    else:
        write_secret(Path(args.out), text)
    return Exit.OK


def check(args: argparse.Namespace) -> int:
    return alerting_check.check(args, text_for)


def text_for(args: argparse.Namespace, version: Version) -> str:
    """The configuration for this version. Raises ConfigError."""
    base = Path(args.base or os.environ.get(BASE_VARIABLE) or BASE)
    if not base.exists():
        raise CommandError(f"there is no {base}: run this in the clone of Headway, or name the file by --base", Exit.USAGE)
    secrets = secrets_folder(args)
    templates = Path(args.templates) if args.templates else base.resolve().parent / "templates"
    return rendered(base, templates, secrets, read_secrets(secrets, os.environ), target(args, version))


def secrets_folder(args: argparse.Namespace) -> Path:
    row = SETTINGS["alerting_secrets"]
    return Path(args.secrets or os.environ.get(row.variable) or row.default)


def target(args: argparse.Namespace, version: Version) -> Target:
    from headway.reporter.address import DEFAULT_URL, find_url

    url = find_url(args.exporter)
    return Target(version, DEFAULT_URL if url == "off" else url, args.inline, args.exporter_key_file)


def wanted_version(args: argparse.Namespace) -> Version:
    if args.of_version:
        return parse_version(args.of_version)
    binary = find_binary("alertmanager", os.environ.get("PATH", os.defpath), alerting_check.unpacked())
    if binary is None:
        raise CommandError("there is no alertmanager on this machine to be asked for its version: say it by --for 0.28", Exit.USAGE)
    return version_of(binary)
