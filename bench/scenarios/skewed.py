"""Runs an exporter whose clock can be set: `python skewed.py FILE COMMAND…` adds the seconds that stand in FILE to the time of day.

The clock is an argument of the exporter and of its sampler; here both get one that jumps. `COMMAND` is what would start it.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path


def main() -> int:
    offset = Path(sys.argv[1])
    arguments = sys.argv[sys.argv.index("serve") :]

    def clock() -> float:
        return time.time() + float(offset.read_text())

    from headway import app
    from headway.cli.main import main as headway
    from headway.sampler.strays import Marks
    from headway.sampler.tree_sampler import TreeSampler

    app.Exporter = partial(app.Exporter, clock=clock, sampler=TreeSampler(clock=clock, marks=Marks()))  # type: ignore[misc,assignment]
    return headway(arguments)


if __name__ == "__main__":
    sys.exit(main())
