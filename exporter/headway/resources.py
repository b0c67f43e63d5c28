"""What a command may use: memory and CPU time of its whole tree, open files and niceness of each OS process in it."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Final

from headway.durations import parse_duration
from headway.forms import size

# Less would end everything: a number without its unit, more likely.
LEAST_MEMORY: Final = 1 << 20
# The tree is read about so often (s); a limit below that could not be told from none.
LEAST_CPU_TIME: Final = 1.0
# The loader and standard streams need some.
LEAST_FILES: Final = 8
_SIZE: Final = size(least=LEAST_MEMORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """`memory` in bytes and `cpu_time` in seconds, both of the whole tree; `open_files` and `nice` are inherited by all of it.
    None: no limit of ours. Make them by the functions below, which refuse what cannot be meant."""

    memory: int | None = None
    cpu_time: float | None = None
    open_files: int | None = None
    nice: int | None = None

    def given(self) -> dict[str, int | float]:
        """Those that are set, by name."""
        return {name: value for name in NAMES if (value := getattr(self, name)) is not None}

    def flags(self) -> Iterator[str]:
        """As `headway run` takes them."""
        for name, value in self.given().items():
            yield f"{FLAGS[name]}={value!r}"

    def preparation(self) -> Callable[[], None] | None:
        """What the command does before it begins; None where nothing is to be done. Called between fork and exec, so it must do
        nothing but system calls."""
        if self.open_files is None and self.nice is None:
            return None
        files, nice, set_limit, number = self.open_files, self.nice, resource.setrlimit, resource.RLIMIT_NOFILE

        def prepare() -> None:
            if files is not None:
                set_limit(number, (files, files))
            if nice is not None:
                os.nice(nice)

        return prepare


NAMES: Final = tuple(row.name for row in fields(Resources))
FLAGS: Final = {"memory": "--memory-limit", "cpu_time": "--cpu-limit", "open_files": "--open-files", "nice": "--nice"}


def memory(value: int | str) -> int:
    """Bytes, from a number or from text such as "512 MiB". Raises ValueError, as the three below do."""
    try:
        return _SIZE.read(str(value))
    except (ValueError, OverflowError):
        raise ValueError(f"{str(value)[:60]!r} is not an amount of memory; accepted: {_SIZE.accepts}") from None


def cpu_time(value: float | str) -> float:
    seconds = parse_duration(value)
    if seconds < LEAST_CPU_TIME:
        raise ValueError(f"{value} is too short: at least {LEAST_CPU_TIME:g} second of CPU time")
    return seconds


def open_files(value: int | str) -> int:
    """What is more than this process may have itself cannot be given to another."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    number = whole(value)
    if number < LEAST_FILES:
        raise ValueError(f"{number} open files are too few to start anything; at least {LEAST_FILES}")
    if most != resource.RLIM_INFINITY and number > most:
        raise ValueError(f"{number} open files are more than the {most} that are allowed here (ulimit -Hn)")
    return number


def nice(value: int | str) -> int:
    """Added to the niceness that is inherited."""
    number = whole(value)
    least = -20 if os.geteuid() == 0 else 0
    if -20 <= number < least:
        raise ValueError(f"{number} would put it before others, which only root may; 0 to 19 here")
    if not least <= number <= 19:
        raise ValueError(f"{number} is not within {least} and 19")
    return number


def whole(value: int | str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{str(value)[:60]!r} is not a whole number") from None
