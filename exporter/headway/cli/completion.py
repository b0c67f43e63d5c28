"""`headway completion SHELL`: prints the script that completes commands and flags in that shell."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from headway.cli.command import add_command
from headway.cli.exits import CommandError

if TYPE_CHECKING:
    from headway.cli.command import Subparsers

EXAMPLES = """\
  bash:  headway completion bash > ~/.local/share/bash-completion/completions/headway
  zsh:   headway completion zsh > "${fpath[1]}/_headway"
  tcsh:  headway completion tcsh >> ~/.tcshrc
"""


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "completion", run, "print the completion script of a shell", examples=EXAMPLES)
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))


def run(args: argparse.Namespace) -> int:
    try:
        import shtab
    except ModuleNotFoundError:
        from headway.extras import how_to_install

        raise CommandError(f"completion needs shtab: {how_to_install('cli')}") from None
    from headway.cli.main import build_parser

    parser = build_parser()
    for action in actions(parser):
        if action.metavar in ("FILE", "DIR"):
            action.complete = shtab.FILE if action.metavar == "FILE" else shtab.DIRECTORY  # type: ignore[attr-defined]
    print(shtab.complete(parser, shell=args.shell))
    return 0


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All actions of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from actions(command)
