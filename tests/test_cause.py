"""Which of its last lines says why a command failed."""

from __future__ import annotations

import pytest

from headway.supervisor.cause import LONGEST, cause

TRACEBACK = """\
loading
Traceback (most recent call last):
  File "a.py", line 3, in <module>
    f()
ValueError: no such column

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 5, in <module>
    g()
requests.exceptions.ConnectionError: refused
cleaning up: error: ignored
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (TRACEBACK, "requests.exceptions.ConnectionError: refused"),
        (
            "gcc -c a.c\na.c:3:5: error: expected ';' before 'x'\nmake: *** [Makefile:4: a.o] Error 1\n",
            "a.c:3:5: error: expected ';' before 'x'",
        ),
        (
            "fatal: not a git repository (or any of the parent directories): .git",
            "fatal: not a git repository (or any of the parent directories): .git",
        ),
        (
            "error: warm-up skipped\npanic: index out of range [3] with length 3\ngoroutine 1 [running]:",
            "panic: index out of range [3] with length 3",
        ),
        (
            "node:net:1\nError: listen EADDRINUSE: address already in use :::80\n    at Server.listen (net.js:1)\n",
            "Error: listen EADDRINUSE: address already in use :::80",
        ),
        ("npm ERR! code E404\nnpm ERR! A complete log of this run can be found in: x", "npm ERR! code E404"),
        ("sh: 1: frobnicate: command not found", "sh: 1: frobnicate: command not found"),
        ("E: Unable to locate package nosuch", "E: Unable to locate package nosuch"),
        ("one\ntwo\n\n", "two"),
        ("error[E0308]: mismatched types\n --> src/main.rs:2:5\nerror: could not compile `x`", "error: could not compile `x`"),
        ("===\n---\n", None),
        ("working\n3/3\n100%\n", "working"),
        ("\n \n", None),
        ("", None),
    ],
)
def test_the_telling_line(output: str, reason: str | None) -> None:
    assert cause(output.splitlines()) == reason


def test_a_reason_is_short() -> None:
    assert len(cause(["error: " + "x" * 5000]) or "") == LONGEST


def test_a_line_that_names_no_error_comes_after_the_exit_code() -> None:
    assert cause(["hi"], 3) == "exit code 3: hi"
    assert cause(["Error: no such column", "bye"], 3) == "Error: no such column"
    assert cause(["OSError: no space"], 3) == "OSError: no space"
    assert cause(["==="], 3) is None
    assert len(cause(["word " * 500], 3) or "") == LONGEST
