"""Commands that the exporter starts and that do not need it: each under a `headway run` of its own, in a session of its own.

That one owns the output and learns the exit code, and reports both as a script does: an exporter that ends, or is killed, and comes
back finds the processes running and is told how those ended that it missed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from headway.datadir import ADMIN_KEY_FILE
from headway.errors import InvalidInput
from headway.notify import OURS

# Of what `headway run` said when it could not do its work.
MOST_WORDS: Final = 2000


class Launched:
    """A `headway run` that was started. `words` is what it has complained of so far; `spool` is where it leaves what it could not
    report."""

    def __init__(self, process: subprocess.Popen[bytes], complaints: Path, spool: Path) -> None:
        self._process = process
        self._complaints = complaints
        self._spool = spool

    def ended(self) -> bool:
        """Whether it is over; then it has been waited for."""
        return self._process.poll() is not None

    def silent(self) -> bool:
        """Whether it is over and left nothing that will be heard of it yet. To be asked before one looks whether it was heard of:
        what waits in the spool may be taken from there in between."""
        return self.ended() and not any(self._spool.glob(f"*-{self._process.pid}.ready"))

    def words(self) -> str:
        try:
            return self._complaints.read_bytes()[-MOST_WORDS:].decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def forget(self) -> None:
        """Removes the file of complaints if there are none."""
        try:
            if self._complaints.stat().st_size == 0:
                self._complaints.unlink()
        except OSError:
            pass


class Launcher:
    """`url`: where this exporter answers, known once it listens; `trust`: what is to be said in the environment about its
    certificate. `start` blocks for some milliseconds; belongs in a thread."""

    def __init__(self, data_dir: Path, environ: Mapping[str, str] = os.environ) -> None:
        self.url: str | None = None
        self.trust: Mapping[str, str] = {}
        self.data_dir = data_dir
        self._environ = environ
        self._running: list[Launched] = []

    def start(
        self, process_id: str, flags: Sequence[str], words: Sequence[str], environ: Mapping[str, str], cwd: str | None
    ) -> Launched:
        """Starts `headway run FLAGS -- WORDS`. Raises InvalidInput for a directory that is none or a NUL in a text, OSError."""
        home = cwd or self._environ.get("HOME") or "/"
        if not os.path.isdir(home):  # noqa: PTH112
            raise InvalidInput(f"cwd: there is no directory {home[:200]} here", field="cwd")
        logs = self.data_dir / "logs"
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        complaints = logs / f"{process_id}.run.log"
        with complaints.open("ab") as errors:
            try:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "headway", "run", "--quiet", f"--id={process_id}", *flags, "--", *words],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,  # its own words only: what the command writes is in the log file
                    env=self.environment(environ),
                    cwd=home,
                    start_new_session=True,
                )
            except ValueError:  # what no system call takes
                complaints.unlink()
                raise InvalidInput("a text here holds a NUL or what is no character: leave it out") from None
        launched = Launched(process, complaints, self.data_dir / "spool")
        self._running.append(launched)
        return launched

    def reap(self) -> None:
        """Waits for those that have ended, so that no zombies gather."""
        for launched in [one for one in self._running if one.ended()]:
            launched.forget()
            self._running.remove(launched)

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """Ours without our own settings and keys, with what finds this exporter. Its key is for `headway run`, which keeps it from
        the command."""
        inherited = {name: value for name, value in self._environ.items() if not name.startswith("HEADWAY_") and name not in OURS}
        return {
            **inherited,
            **more,
            **self.trust,
            "HEADWAY_URL": self.url or "",
            "HEADWAY_RUN_KEY_FILE": str(self.data_dir / ADMIN_KEY_FILE),
            "HEADWAY_SPOOL": str(self.data_dir / "spool"),
            "HEADWAY_LOG_DIR": str(self.data_dir / "logs"),
        }
