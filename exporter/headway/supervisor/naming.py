"""What a command is called when nobody gave it a name: what a person would call it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final

# Programs that run what their arguments name; that is what it should be called.
INTERPRETERS: Final = re.compile(r"(python|pypy|ruby|perl|node|deno|bun|bash|sh|dash|zsh|fish|php|Rscript|julia|java)[0-9.]*")
# Programs that run another command, with their own flags that take a value.
WRAPPERS: Final = {
    "env": ("-u", "-C", "-S"),
    "nice": ("-n",),
    "ionice": ("-c", "-n", "-p"),
    "nohup": (),
    "time": ("-f", "-o"),
    "timeout": ("-k", "-s"),
    "stdbuf": ("-i", "-o", "-e"),
    "sudo": ("-u", "-g", "-C"),
    "setsid": (),
    "chrt": (),
    "taskset": (),
    "uv": (),
    "poetry": (),
    "pipenv": (),
    "npx": (),
}
RUN_WORD: Final = frozenset({"uv", "poetry", "pipenv"})  # these say `run` before the command
NUMBER_FIRST: Final = frozenset({"timeout", "taskset", "chrt"})  # these take a value before the command
SCRIPT_RUNNERS: Final = frozenset({"npm", "pnpm", "yarn", "bun"})  # these run what the project calls so
LONGEST: Final = 80


def derive_name(command: Sequence[str]) -> str:
    """A name for `command` (at least one word): `train.py` for `python3 -u train.py --epochs 3`, `make test`, `pg_dump`.

    Arguments that look like options, paths or assignments stay out, so that runs of one job have one name.
    """
    words = _unwrapped(list(command))
    program = PurePath(words[0]).name or words[0]
    if INTERPRETERS.fullmatch(program):
        return (_script(words[1:]) or program)[:LONGEST]
    if program in SCRIPT_RUNNERS and words[1:2] == ["run"] and len(words) > 2 and not words[2].startswith("-"):
        return f"{program} run {words[2]}"[:LONGEST]  # build and test of one project are two jobs
    following = words[1] if len(words) > 1 else ""
    subcommand = f" {following}" if re.fullmatch(r"[A-Za-z][\w:-]*", following) else ""
    return f"{program}{subcommand}"[:LONGEST]


def _unwrapped(words: list[str]) -> list[str]:
    """Without `env A=b`, `nice -n 5`, `timeout 10m` … before it; the whole when nothing would be left."""
    rest = words
    while rest and (program := PurePath(rest[0]).name) in WRAPPERS:
        takes_value, after = WRAPPERS[program], rest[1:]
        if program in RUN_WORD:
            if after[:1] != ["run"]:
                break
            after = after[1:]
        while after and (after[0].startswith("-") or (program == "env" and "=" in after[0])):
            after = after[2 if after[0] in takes_value else 1 :]
        if program in NUMBER_FIRST:
            after = after[1:]
        if not after:
            break
        rest = after
    return rest or words


def _script(arguments: Sequence[str]) -> str | None:
    """What an interpreter runs: a module after -m, else the file; None for a program given as text."""
    for index, word in enumerate(arguments):
        if word in ("-m", "-jar") and index + 1 < len(arguments):
            return PurePath(arguments[index + 1]).name
        if word in ("-c", "-e", "-lc", "-ec"):
            return None
        if not word.startswith("-"):
            return PurePath(word).name
    return None
