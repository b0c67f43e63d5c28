"""What is made of a command's output and end, with a reporter that only listens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from headway.supervisor.command import Ending
from headway.supervisor.logfile import LogFile
from headway.supervisor.progress import ProgressReader
from headway.supervisor.tracked import Limits, Tracked
from headway.used import Used


class Ear:
    """A report that keeps what it is told."""

    def __init__(self) -> None:
        self.cancel_requested = False
        self.told: list[tuple[Any, ...]] = []
        self.used: Mapping[str, float] | None = None
        self.lines: list[str] = []
        self.stirred = 0

    def update(
        self,
        current: float | None = None,
        line: str | None = None,
        total: float | None = None,
        stage: str | None = None,
        unit: str | None = None,
    ) -> None:
        self.told.append((current, total, unit))

    def log(self, line: str) -> None:
        self.lines.append(line)

    def stir(self) -> None:
        self.stirred += 1

    def pause(self) -> None:
        self.told.append(("paused",))

    def resume(self) -> None:
        self.told.append(("resumed",))

    def end(
        self,
        status: str,
        *,
        error: object = None,
        exit_code: int | None = None,
        signal: int | None = None,
        used: Mapping[str, float] | None = None,
    ) -> None:
        self.told.append((status, error, exit_code, signal))
        self.used = used


class Broken(ProgressReader):
    def feed(self, text: str) -> list[str]:
        raise RecursionError("too deep")


class Case:
    def __init__(self, limits: Limits | None = None, reader: ProgressReader | None = None, log_file: LogFile | None = None) -> None:
        self.now = 100.0
        self.stops = 0
        self.warnings: list[str] = []
        self.ear = Ear()
        self.tracked = Tracked(
            self.ear,
            reader or ProgressReader(),
            limits or Limits(),
            self.stop,
            log_file,
            self.warnings.append,
            clock=lambda: self.now,
        )

    def stop(self) -> None:
        self.stops += 1


def test_lines_and_progress_are_told_once_as_they_come() -> None:
    case = Case()
    for piece in (b"[1/4] one\n[2", b"/4] tw\xc3", b"\xb6\n", b"[2/4] again\n"):
        case.tracked.output(piece)
    assert case.ear.lines == ["[1/4] one", "[2/4] twö", "[2/4] again"]
    assert [told[0] for told in case.ear.told] == [1, 2] and case.ear.told[0][1] == 4


def test_what_is_no_line_yet_is_a_sign_of_life() -> None:
    case = Case()
    case.tracked.output(b"collecting\n")
    assert case.ear.stirred == 0
    for piece in (b".", b".", b"\rOverwrite? [y/N] "):
        case.tracked.output(piece)
    assert (case.ear.lines, case.ear.stirred) == (["collecting"], 3)


def test_a_last_line_without_its_end_counts() -> None:
    case = Case()
    case.tracked.output(b"one\ntwo")
    assert case.tracked.ended(Ending(0, None)) == "done"
    assert case.ear.lines == ["one", "two"]
    assert case.ear.told[-1] == ("done", None, 0, None)


@pytest.mark.parametrize(
    ("ending", "status", "error"),
    [
        (Ending(0, None), "done", None),
        (Ending(2, None), "failed", "error: no space"),
        (Ending(130, None), "cancelled", None),
        (Ending(None, 2), "cancelled", None),
        (Ending(143, None), "killed", "ended by signal SIGTERM"),
        (Ending(None, 15), "killed", "ended by signal SIGTERM"),
        (Ending(None, 64), "killed", "ended by signal SIGRTMAX"),
    ],
)
def test_how_it_ended(ending: Ending, status: str, error: str | None) -> None:
    case = Case()
    case.tracked.output(b"error: no space\nbye\n")
    assert case.tracked.ended(ending) == status
    assert case.ear.told[-1] == (status, error, ending.exit_code, ending.signal)


@pytest.mark.parametrize(
    ("used", "said"),
    [
        (Used(1.2345678, 512, 1024), {"cpu_seconds": 1.234568, "io_read_bytes": 512, "io_written_bytes": 1024}),
        (Used(0.004), {"cpu_seconds": 0.004}),
        (None, None),
    ],
)
def test_what_it_used_is_told_with_its_end(used: Used | None, said: dict[str, float] | None) -> None:
    case = Case()
    case.tracked.ended(Ending(0, None, used))
    assert case.ear.used == said


def test_a_timeout_stops_it_once_and_only_if_it_shall() -> None:
    case = Case(Limits(timeout=10, kill_on_timeout=True))
    for seconds, stops in ((9.9, 0), (10.0, 1), (11.0, 1)):
        case.now = 100.0 + seconds
        case.tracked.tick()
        assert case.stops == stops
    assert case.tracked.ended(Ending(None, 9)) == "timed_out"
    assert case.ear.told[-1] == ("timed_out", "ended after its timeout of 10s", None, 9)
    patient = Case(Limits(timeout=10))
    patient.now = 1e6
    patient.tracked.tick()
    assert patient.stops == 0


def test_a_request_to_cancel_stops_it() -> None:
    case = Case()
    case.tracked.tick()
    assert case.stops == 0
    case.ear.cancel_requested = True
    case.tracked.tick()
    case.tracked.tick()
    assert case.stops == 1
    assert case.tracked.ended(Ending(0, None)) == "cancelled"


def test_trouble_with_its_output_is_said_once_and_the_rest_goes_on(tmp_path: Path) -> None:
    log_file = LogFile(tmp_path / "a.log")
    case = Case(reader=Broken(), log_file=log_file)
    for _ in range(3):
        case.tracked.output(b"line\n")
    assert case.tracked.ended(Ending(1, None)) == "failed"
    assert case.warnings == ["its output is no longer looked at: RecursionError: too deep"]
    assert log_file.path.read_bytes() == b"line\n" * 3
    assert case.ear.told == [("failed", "ended with exit code 1", 1, None)]


def test_a_log_file_that_cannot_be_written_is_given_up(tmp_path: Path) -> None:
    log_file = LogFile(tmp_path / "a.log")
    log_file.close()
    case = Case(log_file=log_file)
    case.tracked.output(b"one\n")
    case.tracked.output(b"two\n")
    assert len(case.warnings) == 1 and "a.log" in case.warnings[0]
    assert case.ear.lines == ["one", "two"]
    assert case.tracked.ended(Ending(0, None)) == "done"
