"""How the command line ends: the exit codes, and the error that becomes one sentence on stderr."""

from __future__ import annotations

from enum import IntEnum

from headway.errors import ConfigError, Forbidden, HeadwayError, NotFound, Unauthenticated, Unreachable


class Exit(IntEnum):
    """Exit codes of every command. The docstrings of the members are the documentation (docs/cli.md, `headway --help`)."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Exit:
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    OK = 0, "done"
    FAILED = 1, "the operation failed; stderr says why"
    USAGE = 2, "the command line or the configuration is wrong"
    UNREACHABLE = 3, "the exporter, or Alertmanager, cannot be reached"
    REFUSED = 4, "the exporter refused: a key, or one with another role, is needed"
    NOT_FOUND = 5, "there is no such process, service or key, or nothing active in what `headway kill` was to end"
    INTERRUPTED = 130, "ended by Ctrl-C"
    PIPE_CLOSED = 141, "whoever read the output went away"


class CommandError(Exception):
    """What went wrong and what to do next, in one sentence each; ends the command with `code`."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code


def code_of(error: HeadwayError) -> Exit:
    """The exit code for an error of the product."""
    if isinstance(error, ConfigError):
        return Exit.USAGE
    if isinstance(error, Unreachable):
        return Exit.UNREACHABLE
    if isinstance(error, NotFound):
        return Exit.NOT_FOUND
    if isinstance(error, Forbidden | Unauthenticated):
        return Exit.REFUSED
    return Exit.FAILED
