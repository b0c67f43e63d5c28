"""`headway serve`: the exporter."""

from __future__ import annotations

import argparse
import gc
import signal
import sys
from typing import TYPE_CHECKING

from headway.cli.command import add_command
from headway.cli.exits import CommandError, Exit
from headway.cli.settings_flags import add_flags, resolve
from headway.garbage import YOUNG

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

DESCRIPTION = """\
Runs the exporter in the foreground until SIGTERM or Ctrl-C, and prints one line when it is ready. The first start makes an admin
key in DATA_DIR/admin.key. A flag wins over the environment (HEADWAY_LISTEN …), that over the file, that over the default;
`headway config` shows the outcome."""
EXAMPLES = """\
  headway serve
  headway serve --config headway.yaml --log-level debug
  HEADWAY_LISTEN=0.0.0.0:14323 headway serve --allowed-hosts exporter,metrics.example
"""


def add_parser(commands: Subparsers) -> None:
    add_flags(add_command(commands, "serve", run, "run the exporter", DESCRIPTION, EXAMPLES))


def run(args: argparse.Namespace) -> int:
    resolved = resolve(args)
    gc.disable()  # what is loaded now stays: to look for garbage among it takes a tenth of the start
    try:
        from headway.server import serve
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "headway":
            raise
        from headway.extras import how_to_install

        words = f"the exporter is not installed ({error.name} is missing): {how_to_install('exporter')}"
        raise CommandError(words) from None
    finally:
        gc.freeze()
        gc.set_threshold(YOUNG)
        gc.enable()
    # uvicorn ends what it serves and then raises the signal again: with this it is a clean end, before uvicorn runs too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(Exit.OK))
    return serve(resolved)
