"""Where the command `headway` begins. Agents wait for `headway hook`: it goes around the command line, which takes longer to load
than it runs."""

from __future__ import annotations

import os
import sys


def main() -> int:
    # Whatever is written behind it, but for its help: an exit code of 2 would keep an agent from what it is about to do.
    if sys.argv[1:2] == ["hook"] and not {"-h", "--help"} & set(sys.argv[2:]):
        from headway.hook.command import main as hook

        hook(sys.argv[2:])
        sys.stdout.flush()
        os._exit(0)  # what the interpreter would tidy up takes milliseconds
    from headway.cli.main import main as command_line

    return command_line()
