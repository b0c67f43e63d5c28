"""What is made of a command's output and end: log lines, progress, a log file, and the words of its reporter."""

from __future__ import annotations

import codecs
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from headway.durations import format_duration
from headway.supervisor.cause import cause
from headway.supervisor.command import Ending
from headway.supervisor.logfile import LogFile
from headway.supervisor.progress import ProgressReader, Reading
from headway.used import Used

# Of its last lines, for the reason of a failure.
LAST_LINES: Final = 60


class Report(Protocol):
    """What of a reporter is used (see headway.reporter.Reporter)."""

    @property
    def cancel_requested(self) -> bool: ...

    def update(
        self,
        current: float | None = None,
        line: str | None = None,
        total: float | None = None,
        stage: str | None = None,
        unit: str | None = None,
    ) -> None: ...

    def log(self, line: str) -> None: ...

    def stir(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def end(
        self,
        status: str,
        *,
        error: object = None,
        exit_code: int | None = None,
        signal: int | None = None,
        used: Mapping[str, float] | None = None,
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """`timeout` in seconds; whether passing it ends the command; `grace`: seconds between the polite signal and SIGKILL."""

    timeout: float | None = None
    kill_on_timeout: bool = False
    grace: float = 5.0


class Tracked:
    """The watcher of one command (see headway.supervisor.command.Watcher). `stop` begins to end it and returns at once; `passed`
    says in words which limit of what it may use was passed; `arrives` waits a moment until a change of status was heard of."""

    def __init__(
        self,
        report: Report,
        reader: ProgressReader,
        limits: Limits,
        stop: Callable[[], None],
        log_file: LogFile | None = None,
        warn: Callable[[str], None] = lambda words: None,
        read_progress: bool = True,
        clock: Callable[[], float] = time.monotonic,
        passed: Callable[[], str | None] = lambda: None,
        arrives: Callable[[], object] = lambda: None,
    ) -> None:
        self._report = report
        self._reader = reader
        self._limits = limits
        self._stop = stop
        self._log_file = log_file
        self._warn = warn
        self._read_progress = read_progress
        self._clock = clock
        self._passed = passed
        self._arrives = arrives
        self._over_limit: str | None = None
        self._started = clock()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._last: deque[str] = deque(maxlen=LAST_LINES)
        self._told: Reading | None = None
        self._blind = False
        self.stopped_for: str | None = None

    # ── while it runs ──────────────────────────────────────────────────────────────────────────────────────────────

    def output(self, data: bytes) -> None:
        if self._log_file is not None:
            try:
                self._log_file.write(data)
            except OSError as error:
                self._warn(f"its output is no longer kept in {self._log_file.path}: {error.strerror}")
                self._log_file = None
        self._look(data)

    def paused(self) -> None:
        self._report.pause()
        self._arrives()  # Ctrl-Z stops whoever reports as well

    def resumed(self) -> None:
        self._report.resume()

    def tick(self) -> None:
        if self.stopped_for is not None:
            return
        limit = self._limits.timeout
        if self._report.cancel_requested:
            self.stopped_for = "cancelled"
        elif limit is not None and self._limits.kill_on_timeout and self._clock() - self._started >= limit:
            self.stopped_for = "timed_out"
        elif (over := self._passed()) is not None:
            self.stopped_for, self._over_limit = "failed", over
        else:
            return
        self._stop()

    # ── its end ────────────────────────────────────────────────────────────────────────────────────────────────────

    def ended(self, ending: Ending) -> str:
        """Tells how it ended, and returns that status."""
        self._look(b"", final=True)
        if self._log_file is not None:
            self._log_file.close()
        status = self.status(ending)
        error = None
        if self._over_limit is not None:
            error = f"ended: {self._over_limit}"
        elif status == "failed":
            error = cause(list(self._last), ending.exit_code) or f"ended with exit code {ending.exit_code}"
        elif status == "timed_out":
            error = f"ended after its timeout of {format_duration(self._limits.timeout or 0)}"
        elif status == "killed":
            error = f"ended by signal {signal_name(ending.signal or ending.status - 128)}"
        if self.stopped_for is not None and error is not None:
            why = error.removeprefix("ended") if error.startswith("ended") else f": {error}"
            self._warn(f"ended with all its children{why}")
        used = None if ending.used is None else machine_time(ending.used)
        self._report.end(status, error=error, exit_code=ending.exit_code, signal=ending.signal, used=used)
        return status

    def status(self, ending: Ending) -> str:
        """The one that :meth:`ended` tells."""
        if ending.exit_code == 0 and self.stopped_for is None:
            return "done"
        if self.stopped_for is not None:
            return self.stopped_for
        if ending.signal is not None or ending.exit_code in (130, 143):
            # 130 and 143: how a shell, or a program that catches it, tells Ctrl-C and SIGTERM.
            return "cancelled" if ending.signal == 2 or ending.exit_code == 130 else "killed"
        return "failed"

    def _look(self, data: bytes, final: bool = False) -> None:
        """Lines and progress. Whatever goes wrong with them, the command runs on."""
        if self._blind:
            return
        try:
            lines = self._reader.feed(self._decoder.decode(data, final))
            self._lines(lines)
            if data and not lines:
                self._report.stir()
            if final:
                self._lines(self._reader.close())
            reading = self._reader.reading if self._read_progress else None
            if reading is not None and reading != self._told:
                self._tell(reading)
        except Exception as error:
            self._blind = True
            self._warn(f"its output is no longer looked at: {type(error).__name__}: {error}")

    def _lines(self, lines: list[str]) -> None:
        for line in lines:
            self._last.append(line)
            self._report.log(line)

    def _tell(self, reading: Reading) -> None:
        before, self._told = self._told, reading
        if before is not None and (reading.total, reading.unit) == (before.total, before.unit):
            self._report.update(reading.current)
        else:
            self._report.update(reading.current, total=reading.total, unit=reading.unit)


def machine_time(used: Used) -> dict[str, float]:
    """In the fields of a report; what was not used is left out."""
    fields = {
        "cpu_seconds": round(used.cpu_seconds, 6),
        "io_read_bytes": used.io_read_bytes,
        "io_written_bytes": used.io_written_bytes,
    }
    return {field: value for field, value in fields.items() if value}


def signal_name(number: int) -> str:
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
