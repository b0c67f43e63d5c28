"""The command that a text for the shell is about, as far as that can be told without being a shell."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

# These prepare what comes after them.
ASIDE: Final = frozenset(
    {
        "set",
        "export",
        "source",
        ".",
        "true",
        ":",
        "umask",
        "ulimit",
        "echo",
        "printf",
        "trap",
        "unset",
        "shopt",
        "test",
        "[",
        "mkdir",
    }
    | {"exit", "wait", "read"}
)
BEFORE: Final = frozenset({"exec", "command", "builtin"})
# What begins so is a program of its own.
KEYWORDS: Final = frozenset({"if", "for", "while", "until", "case", "function", "select", "{", "!", "[["})


def first_command(text: str, folder: Path | None) -> tuple[list[str], Path | None] | None:
    """The words of the first command that does something, and where it is called if the text is run in `folder` (`cd app && make`);
    None for a text that cannot be told."""
    aside: tuple[list[str], Path | None] | None = None
    for words in _commands(text):
        while words and re.match(r"[A-Za-z_]\w*=", words[0]):
            words.pop(0)
        if words and words[0] in BEFORE:
            words.pop(0)
        if not words:
            continue
        if words[0] in KEYWORDS or any(sign in words[0] for sign in "$`*"):
            return None
        if words[0] == "cd":
            known = folder is not None and len(words) == 2 and not re.match(r"[-~]|.*[$`*]", words[1])
            folder = folder / words[1] if folder is not None and known else None
        elif words[0] in ASIDE:
            aside = aside or (words, folder)
        else:
            return words, folder
    return aside


def _commands(text: str) -> list[list[str]]:
    """The words of each command, without what is redirected; nothing where quotes do not match."""
    lines = (line for line in text.replace("\\\n", " ").split("\n") if not line.lstrip().startswith("#"))
    lexer = shlex.shlex(" ; ".join(lines), posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    commands: list[list[str]] = [[]]
    redirected = False
    try:
        for word in lexer:
            if word and set(word) <= set("();<>|&"):
                redirected = word[0] in "<>"
                if not redirected:
                    commands.append([])
            elif redirected:
                redirected = False
            else:
                commands[-1].append(word)
    except ValueError:
        return []
    return commands
