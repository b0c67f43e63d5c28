"""python -m demo: runs the scripts of this folder against the exporter at HEADWAY_URL, and says how far they are. Ctrl-C ends them.

DEMO_SECONDS (180) is about how long it takes.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from demo import budget
from headway import Client
from headway.reporter.client import ApiError, Unreachable

FOLDER: Final = Path(__file__).parent
PYTHON: Final = (sys.executable, "-m")
_LOOK: Final = 5.0  # s between two lines about how far they are
_GOODBYE: Final = 8.0  # s that a script gets to say that it was interrupted


def scripts(lock: Path) -> Mapping[str, Sequence[str]]:
    """What each one is, and its command; the last is the one that waits for `lock`."""
    every: dict[str, Sequence[str]] = {
        "pipeline with nested steps (SDK)": (*PYTHON, "demo.pack"),
        "shell script (headway report)": (str(FOLDER / "measure.sh"),),
        "shell script (curl)": (str(FOLDER / "count.sh"),),
        "a restore that fails (track)": (*PYTHON, "demo.restore"),
        "a release that waits for a person (SDK)": (*PYTHON, "demo.ask"),
        "a job that goes silent (SDK)": (*PYTHON, "demo.wait", str(lock)),
    }
    if shutil.which("curl") is None:
        print("left out, because there is no curl here: the shell script that reports with it")
        del every["shell script (curl)"]
    return every


def said(process: Mapping[str, Any]) -> str:
    """One process in a few words: `Hash files 51%`."""
    progress = process.get("progress") or {}
    current, total = progress.get("current"), progress.get("total")
    conditions = "".join(f" [{condition['name']}]" for condition in process.get("conditions") or ())
    if current is not None and total:
        return f"{process['name']} {current / total:.0%}{conditions}"
    return str(process["name"]) + ("" if current is None else f" {current:,.0f}") + conditions


class Lookout:
    """Says how far everything of this demonstration is. An exporter that does not answer is said once, until it does again."""

    def __init__(self, client: Client, begun: float) -> None:
        self.client, self.begun = client, begun
        self.away = False

    def look(self) -> None:
        try:
            processes = self.client.list(group="demo", status="running", limit=50)
        except (ApiError, Unreachable) as error:
            if not self.away:
                why = error.reason if isinstance(error, Unreachable) else error
                self.say(f"{self.client.url} does not answer ({why}); the scripts go on, and report when it is back")
            self.away = True
            return
        if self.away:
            self.say(f"{self.client.url} is back")
        self.away = False
        self.say(" · ".join(map(said, processes)) or "nothing runs")

    def say(self, words: str) -> None:
        print(f"{time.monotonic() - self.begun:4.0f} s  {words}", flush=True)


def end(children: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Interrupts those that still run, so that they can say so, and kills what does not heed it."""
    for child in children.values():
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGINT)
    deadline = time.monotonic() + _GOODBYE
    for child in children.values():
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def main() -> int:
    seconds, begun = budget.seconds(), time.monotonic()
    client = Client()
    client.ready()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "sync.lock")
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            children: dict[str, subprocess.Popen[bytes]] = {}
            try:
                for what, command in scripts(path).items():
                    print(f"starting {what}", flush=True)
                    # A session of its own: Ctrl-C comes here only, and is passed on once.
                    children[what] = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL)
                watch(Lookout(client, begun), children, seconds)
                fcntl.flock(lock, fcntl.LOCK_UN)
                for child in children.values():
                    child.wait(_GOODBYE * 4)
            finally:
                end(children)
    for what, child in children.items():
        print(f"exit code {child.returncode:3}  {what}")
    print(f"done after {time.monotonic() - begun:.0f} s; {client.url} shows what is left of it")
    return 0


def watch(lookout: Lookout, children: Mapping[str, subprocess.Popen[bytes]], seconds: float) -> None:
    """Until only the one that waits for our lock is left, and its time is up as well."""
    *working, _ = children.values()
    while any(child.poll() is None for child in working) or time.monotonic() - lookout.begun < seconds:
        lookout.look()
        time.sleep(min(_LOOK, max(0.5, seconds / 10)))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\ninterrupted: everything was ended")
        sys.exit(130)
    except (ApiError, Unreachable) as error:
        sys.exit(f"demo: {error}")
