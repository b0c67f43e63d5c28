"""`headway version`."""

from __future__ import annotations

import argparse
import platform
from typing import TYPE_CHECKING

from headway.cli.command import add_command
from headway.version import VERSION

if TYPE_CHECKING:
    from headway.cli.command import Subparsers


def add_parser(commands: Subparsers) -> None:
    add_command(commands, "version", run, "say which Headway this is")


def run(args: argparse.Namespace) -> int:
    print(f"headway {VERSION} (Python {platform.python_version()}, {platform.system()} {platform.machine()})")
    return 0
