"""What a command is called when nobody gave it a name: what a person would call it. One job has one name, and two jobs have two."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Final

from headway.supervisor.project import project_of
from headway.supervisor.shelltext import first_command

SHELLS: Final = frozenset({"bash", "sh", "dash", "zsh", "fish", "ksh"})
# Programs that run what their arguments name; that is what it should be called.
INTERPRETERS: Final = re.compile(r"(python|pypy|ruby|perl|node|deno|bun|bash|sh|dash|zsh|fish|ksh|php|Rscript|julia|java)[0-9.]*")
# Their flags that take a value, and those whose value is the program.
SCRIPT_FLAGS: Final = frozenset({"-W", "-X", "-r", "-I", "-o", "-cp", "-classpath", "--require", "--import", "--loader"})
MODULE_FLAGS: Final = frozenset({"-m", "-jar"})
TEXT_FLAGS: Final = re.compile(r"-[a-z]*[ce]")
# Scripts that are many jobs, by the word behind them.
DISPATCHERS: Final = frozenset({"manage.py", "artisan", "console", "cli.py"})
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
# These make what they are told, all of it, and have flags that take a value.
MAKERS: Final = frozenset({"make", "gmake", "just", "task", "ninja", "rake", "gradle", "gradlew", "mvn", "ant", "inv", "invoke"})
MAKER_FLAGS: Final = frozenset({"-C", "-f", "-I", "-o", "-W", "-p", "-b", "-pl", "-P", "--directory", "--file"})
TWO_WORDS: Final = frozenset({"docker", "podman", "gh", "gcloud", "aws", "az"})  # docker compose up
# What these do depends on the project they are called in.
PROJECT_TOOLS: Final = (
    MAKERS
    | SCRIPT_RUNNERS
    | frozenset({"cargo", "go", "deno", "pytest", "tox", "nox", "mypy", "ruff", "hatch", "pdm", "pre-commit", "alembic", "flask"})
    | frozenset({"bundle", "rspec", "composer", "phpunit", "mix", "sbt", "lein", "cabal", "swift", "dotnet", "bazel", "cmake"})
    | frozenset({"ctest", "meson", "jest", "vitest", "vite", "tsc", "webpack", "eslint", "terraform", "ansible-playbook", "dbt"})
    | frozenset({"dvc", "snakemake", "nextflow", "scrapy", "celery", "gunicorn", "uvicorn", "docker-compose", "mkdocs"})
)
LONGEST: Final = 80

# A name, and the folder whose project tells it apart from its like; None where it is the same job everywhere.
Found = tuple[str, Path | None]


def derive_name(command: Sequence[str], folder: Path | None = None, project: Callable[[Path], str | None] = project_of) -> str:
    """A name for `command` (at least one word) in `folder`: `shop: train.py` for `python3 -u train.py --epochs 3`, `shop: make
    test`, `pg_dump`. The project stands before what is another job in another one; it is left out without a folder.

    Arguments that look like options, paths or assignments stay out, so that runs of one job have one name.
    """
    name, place = _named(list(command), folder)
    within = project(place) if place is not None else None
    return (name if within in (None, name) else f"{within}: {name}")[:LONGEST]


def _named(words: list[str], folder: Path | None) -> Found:
    words = _unwrapped(words)
    program, rest = PurePath(words[0]).name or words[0], words[1:]
    if program in SCRIPT_RUNNERS and rest[:1] == ["run"] and len(rest) > 1 and not rest[1].startswith("-"):
        return f"{program} run {rest[1]}", folder  # build and test of one project are two jobs
    if INTERPRETERS.fullmatch(program):
        return _interpreted(program, rest[1:] if program in ("deno", "bun") and rest[:1] == ["run"] else rest, folder)
    if program in MAKERS:
        return " ".join((program, *_targets(rest))), folder
    if program == "go" and rest[:1] == ["run"] and len(rest) > 1 and not rest[1].startswith("-"):
        return f"go run {PurePath(rest[1]).name or rest[1]}", folder
    name = " ".join((program, *_subcommands(rest, 2 if program in TWO_WORDS else 1)))
    if program in PROJECT_TOOLS or name.startswith(("docker compose", "podman compose")):
        return name, folder
    return name, _at(folder, words[0]) if "/" in words[0].rstrip("/") else None


def _interpreted(program: str, arguments: Sequence[str], folder: Path | None) -> Found:
    """By what an interpreter runs: a module or an archive, a text for the shell, or a file; its own name for any other text."""
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word in MODULE_FLAGS and words:
            return _module(words[0], folder) if word == "-m" else (PurePath(words[0]).name, _at(folder, words[0]))
        if program in SHELLS and TEXT_FLAGS.fullmatch(word) and words:
            inner = first_command(words[0], folder)
            return (program, None) if inner is None else _named(*inner)
        if word in ("-c", "-e"):
            break
        if word in SCRIPT_FLAGS:
            del words[:1]
        elif not word.startswith("-"):
            name = PurePath(word).name or word
            return " ".join((name, *(_subcommands(words, 1) if name in DISPATCHERS else ()))), _at(folder, word)
    return program, None


def _module(module: str, folder: Path | None) -> Found:
    """One of the folder is that of its project; any other is the same everywhere, but for tools that look at the project."""
    first = module.partition(".")[0]
    own = folder is not None and any(os.path.lexists(folder / name) for name in (first, f"{first}.py", f"src/{first}"))
    return module, folder if own or first in PROJECT_TOOLS else None


def _at(folder: Path | None, path: str) -> Path | None:
    """The folder of a file that is named in `folder`."""
    return None if folder is None else Path(os.path.normpath(folder / path)).parent


def _subcommands(words: Sequence[str], most: int) -> list[str]:
    found = []
    for word in words[:most]:
        if not re.fullmatch(r"[A-Za-z][\w:-]*", word):
            break
        found.append(word)
    return found


def _targets(words: Sequence[str]) -> list[str]:
    found, skipped = [], False
    for word in words:
        if not skipped and re.fullmatch(r"[A-Za-z][\w./:-]*", word):
            found.append(word)
        skipped = word in MAKER_FLAGS
    return found


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
