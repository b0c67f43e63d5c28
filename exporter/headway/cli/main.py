"""The command `headway`: reads the command line, runs one command, turns every outcome into an exit code and a sentence."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import re
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Final, NoReturn

from headway.cli.exits import CommandError, Exit, code_of
from headway.errors import HeadwayError

DESCRIPTION = "Shows, measures and controls what runs in the background of this machine."
EXAMPLES = """\
examples:
  headway serve                                 run the exporter on http://127.0.0.1:14323
  headway run -- python train.py                run a command and track it
  ID=$(headway report create --name "Nightly dump" --total 3); headway report done "$ID"
  headway ps --watch                            what is running, redrawn every 2 seconds
  headway ps --state undismissed,stuck,waiting  what needs attention
  headway show 0192f0c1                         one process: conditions, history, output
  headway up                                    start the services of the configuration
  headway key create --name ci --role reporter --out ci.key
"""


# What other programs call it.
MEANT: Final[Mapping[str, str]] = {
    **dict.fromkeys(("ls", "list", "jobs", "top", "history"), "ps"),
    **{"start": "up", "stop": "down", "services": "status", "tail": "output", "info": "show", "follow": "show", "add": "run"},
}


class Parser(argparse.ArgumentParser):
    """argparse that answers a mistake with one sentence, and a near miss with a suggestion."""

    _given: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._given = [*(sys.argv[1:] if args is None else args)]
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        if choice := re.fullmatch(r"(?s)(?:argument (\S+): )?invalid choice: '(.*)' \(choose from (.*)\)", message):
            from difflib import get_close_matches  # slow to import, and needed by mistakes alone

            what = "command" if choice[1] in (None, "COMMAND") else choice[1]
            known = re.findall(r"[\w-]+", choice[3])
            near = [MEANT[choice[2]]] if choice[1] in (None, "COMMAND") and MEANT.get(choice[2]) in known else []
            near = near or get_close_matches(choice[2], known, n=1)
            message = f"unknown {what} {choice[2]}: " + (f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}")
        elif "arguments are required" in message and (missed := next(filter(None, map(self.meant, self._given)), "")):
            message = f"{missed}; {message}"
        self.exit(Exit.USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")

    def meant(self, word: str) -> str:
        """ "unknown argument --tial: did you mean --tail?", with an option of this very command; "" unless there is a near one."""
        from difflib import get_close_matches

        word = word.split("=")[0]
        known = {option.lstrip("-"): option for action in self._actions for option in action.option_strings}
        if not word.startswith("--") or word in known.values():
            return ""
        near = get_close_matches(word.lstrip("-"), known, n=1)
        return f"unknown argument {word}: did you mean {known[near[0]]}?" if near else ""


# Modules of this package in the order of the help, each with the commands that it adds.
COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    **{name: (name,) for name in ("serve", "run", "report", "ps", "show", "tree", "output", "analyze", "trends", "suggest")},
    **{name: (name,) for name in ("discovered", "cancel", "kill")},
    "pause": ("pause", "resume"),
    **{
        name: (name,)
        for name in ("wait", "retry", "cleanup", "dismiss", "snooze", "up", "down", "restart", "status", "logs", "ensure")
    },
    **{name: (name,) for name in ("mcp", "hook", "alerting", "key")},
    "backup": ("backup", "restore"),
    **{name: (name,) for name in ("config", "version", "completion")},
}


def commands(word: str | None = None) -> list[ModuleType]:
    """The module of the command `word` alone: importing the others takes longer than most of them do. All for an unknown one."""
    found = [module for module, words in COMMANDS.items() if word in words] or list(COMMANDS)
    return [importlib.import_module(f"headway.cli.{module}") for module in found]


def build_parser(word: str | None = None) -> Parser:
    """The parser of the command line, or of one that begins with `word`."""
    codes = "\n".join(f"  {code.value:<4} {code.meaning}" for code in Exit)
    parser = Parser(
        prog="headway",
        description=DESCRIPTION,
        epilog=f"{EXAMPLES}\nexit codes:\n{codes}",
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, max_help_position=16),
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="say which Headway this is")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", parser_class=Parser)
    for command in commands(word):
        command.add_parser(subparsers)
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Raises SystemExit as argparse does, with what was probably meant."""
    parser = build_parser(argv[0] if argv else None)
    args: argparse.Namespace
    if argv[:1] == ["report"]:
        from headway.cli.report import glued

        argv = glued(argv)
    if argv[:1] == ["run"]:
        from headway.cli.run import parted

        argv, words = parted(argv)
        args, unknown = parser.parse_known_args(argv)
        args.words = [*args.words, *(["--"] if args.words and words else []), *words]
    else:
        args, unknown = parser.parse_known_args(argv)
    if getattr(args, "words_anywhere", False):  # argparse takes them up to the first option alone
        args.words += [word for word in unknown if not word.startswith("-")]
        unknown = [word for word in unknown if word.startswith("-")]
    if unknown:
        command = getattr(args, "parser", parser)
        parser = command if isinstance(command, Parser) else parser
        parser.error(parser.meant(unknown[0]) or f"unknown argument {unknown[0].split('=')[0]}")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name that the terminal cannot show is no reason to fail
    try:
        args = parse(sys.argv[1:] if argv is None else argv)
        if args.version:
            from headway.cli import version

            args.run = version.run
        if not hasattr(args, "run"):
            build_parser().print_help(sys.stderr)
            return Exit.USAGE
        code = int(args.run(args))
        sys.stdout.flush()
        return code
    except CommandError as error:
        return fail(str(error), error.code)
    except HeadwayError as error:
        return fail(error.detail, code_of(error))
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more; without this the interpreter would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE_CLOSED
    except Exception as error:
        if os.environ.get("HEADWAY_DEBUG"):
            raise
        if isinstance(error, ModuleNotFoundError) and (error.name or "headway").split(".")[0] != "headway":
            from headway.extras import how_to_install

            return fail(f"{error.name} is not installed, which this needs: {how_to_install('exporter')}", Exit.FAILED)
        return fail(f"an error inside headway ({type(error).__name__}: {error}); HEADWAY_DEBUG=1 shows where", Exit.FAILED)


def fail(message: str, code: Exit) -> int:
    with contextlib.suppress(OSError):  # the terminal is gone; the exit code says it
        print(f"headway: {message}", file=sys.stderr)
    return code
