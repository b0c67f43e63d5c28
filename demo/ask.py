"""Waits for a person: asks for an approval, and counts as waiting after an eighth of the demonstration (half a minute at most).
Nobody is there, so it approves itself after two thirds of it.   python -m demo.ask"""

from __future__ import annotations

import sys
import time

from demo import budget
from headway import Reporter


def main() -> None:
    patience = min(30.0, budget.seconds() / 8)
    with Reporter(
        "Release notes", "pipeline", 3, "steps", project="demo", group="demo", thresholds={"waiting_after": patience}
    ) as run:
        run.update(1, "collected the changes", stage="collect")
        with run.waiting("approval of the release notes"):
            time.sleep(budget.seconds() * 2 / 3)
        run.update(2, "approved", stage="publish")
        run.update(3, "published")
        run.done(summary="approved by nobody, as this is a demonstration")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
