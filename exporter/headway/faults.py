"""What is wrong with a configuration, gathered: who mends one mistake wants to know of the others too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headway.errors import ConfigError


class Faults:
    """Each `noted` block may fail; what follows it goes on without what it would have made. `end` raises all that was found."""

    def __init__(self) -> None:
        self.found: list[ConfigError] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        try:
            yield
        except ConfigError as error:
            self.found += error.each

    def end(self) -> None:
        """Raises ConfigError when something was found: one by itself, several as one with a line for each."""
        if self.found:
            raise ConfigError.of(self.found) from None
