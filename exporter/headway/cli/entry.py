"""Where the command `headway` begins. Agents wait for `headway hook`: it goes around the command line, which takes longer to load
than it runs."""

from __future__ import annotations

import os
import sys


def main() -> int:
    if sys.argv[1:2] == ["hook"] and len(sys.argv) == 3 and not sys.argv[2].startswith("-"):
        from headway.hook.command import main as hook

        hook(sys.argv[2:])
        sys.stdout.flush()
        os._exit(0)  # what the interpreter would tidy up takes milliseconds
    from headway.cli.main import main as command_line

    return command_line()
