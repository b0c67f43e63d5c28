"""Where the command `headway` begins. Agents wait for `headway hook`: it goes around the command line, which takes longer to load
than it runs."""

from __future__ import annotations

import os
import sys


def main() -> int:
    _open_streams()
    # Whatever is written behind it, but for its help: an exit code of 2 would keep an agent from what it is about to do.
    if sys.argv[1:2] == ["hook"] and not {"-h", "--help"} & set(sys.argv[2:]):
        from headway.hook.command import main as hook

        hook(sys.argv[2:])
        sys.stdout.flush()
        os._exit(0)  # what the interpreter would tidy up takes milliseconds
    from headway.cli.main import main as command_line

    return command_line()


def _open_streams() -> None:
    """Whoever starts programs with their output closed (`>&-`, some daemons) wants none of it; what is said goes nowhere then, and
    the first file that is opened is no output."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123  until the end; pathlib is slow to import
