"""`headway mcp`: Headway as tools for AI agents."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Final

from headway.cli.command import add_command
from headway.cli.exits import CommandError, Exit

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DEFAULT_HTTP: Final = "127.0.0.1:14324"
DESCRIPTION = """\
Serves the Model Context Protocol: tools with which an AI agent looks at what runs, finds what hangs, starts and ends processes,
keeps services running, and reports its own work. Without --http it speaks on stdin and stdout, as MCP clients start it, and uses
the key in --key-file, HEADWAY_KEY or HEADWAY_KEY_FILE; never the local admin.key by itself: without a key it looks and reports,
no more. With --http it serves streamable HTTP at /mcp, and every caller sends a key of the exporter, which decides what it may do.
`make up` installs what it needs, as does pip install '.[mcp]' in the clone. docs/mcp.md has configurations for clients."""
EXAMPLES = """\
  headway key create --name agent --role operator --out agent.key
  headway mcp --key-file agent.key
  headway mcp --http 127.0.0.1:14324
"""


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "mcp", run, "serve tools for AI agents (MCP)", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "--http",
        nargs="?",
        const=DEFAULT_HTTP,
        metavar="HOST:PORT",
        help=f"over HTTP (default {DEFAULT_HTTP}); callers send keys",
    )
    parser.add_argument("--allowed-host", action="append", default=[], metavar="NAME", help="with --http: a name it answers to")
    parser.add_argument("--url", metavar="URL", help="where the exporter is; default: $HEADWAY_URL, else http://127.0.0.1:14323")
    parser.add_argument("--key-file", metavar="FILE", help="the key; default: $HEADWAY_KEY, $HEADWAY_KEY_FILE, else none")


def run(args: argparse.Namespace) -> int:
    from headway.cli.connection import given_key
    from headway.reporter.address import OFF, find_url

    url = find_url(args.url)
    if url == OFF:
        raise CommandError("HEADWAY_URL is off, so there is nothing to serve: give --url", Exit.USAGE)
    if args.allowed_host and args.http is None:
        raise CommandError("--allowed-host goes with --http", Exit.USAGE)
    where = None if args.http is None else address(args.http)
    key = given_key(args) if where is None else None
    try:
        from headway.mcp.calls import Exporter
        from headway.mcp.server import Server
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "headway":
            raise
        from headway.extras import how_to_install

        raise CommandError(f"what MCP needs is not installed ({error.name} is missing): {how_to_install('mcp')}") from None
    if where is None:
        Server(Exporter(url, key)).run("stdio")
        return Exit.OK
    from headway.mcp.web import serve

    try:
        serve(Server(Exporter(url, keyed=True)), *where, args.allowed_host, ready)
    except OSError as error:
        raise CommandError(
            f"cannot listen on {args.http}: {error.strerror or error}; choose another address with --http HOST:PORT, or end what "
            "uses it",
            Exit.FAILED,
        ) from None
    return Exit.OK


def address(text: str) -> tuple[str, int]:
    """Raises CommandError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise CommandError(f"--http takes HOST:PORT, such as {DEFAULT_HTTP}", Exit.USAGE)
    return host.removeprefix("[").removesuffix("]"), int(port)


def ready(url: str) -> None:
    print(f"headway mcp is ready at {url}", file=sys.stderr, flush=True)
