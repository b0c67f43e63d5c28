"""Goes silent: waits for a lock that somebody else holds, and says nothing. It counts as stuck after a third of the demonstration
(a minute at most), and ends when the lock is free.   python -m demo.wait LOCKFILE"""

from __future__ import annotations

import fcntl
import sys
from pathlib import Path

from demo import budget
from headway import Reporter


def main(lock: Path) -> None:
    patience = min(60.0, budget.seconds() / 3)
    with Reporter(
        "Nightly sync", "cron", 100, "records", project="demo", group="demo", thresholds={"stuck_after": patience}
    ) as run:
        for record in range(1, 41):
            run.update(record, f"record {record} is up to date")
        run.log(f"waiting for the lock {lock}")
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
        run.update(100, "got the lock at last")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)
