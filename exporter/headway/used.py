"""How much a process used of the machine and of a model: amounts that are added up and only grow. Pure: standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Used:
    """CPU time (s), bytes read from and written to storage, tokens; 0 where nothing is known."""

    cpu_seconds: float = 0.0
    io_read_bytes: int = 0
    io_written_bytes: int = 0
    tokens_input: float = 0.0
    tokens_output: float = 0.0

    def __add__(self, more: Used) -> Used:
        return Used(
            self.cpu_seconds + more.cpu_seconds,
            self.io_read_bytes + more.io_read_bytes,
            self.io_written_bytes + more.io_written_bytes,
            self.tokens_input + more.tokens_input,
            self.tokens_output + more.tokens_output,
        )

    def above(self, less: Used) -> Used:
        """What this is more than that, 0 where it is not."""
        return Used(
            max(0.0, self.cpu_seconds - less.cpu_seconds),
            max(0, self.io_read_bytes - less.io_read_bytes),
            max(0, self.io_written_bytes - less.io_written_bytes),
            max(0.0, self.tokens_input - less.tokens_input),
            max(0.0, self.tokens_output - less.tokens_output),
        )


NOTHING: Final = Used()
