"""One mark: up to where what an OS process used is counted. See headway.registry.marks."""

from __future__ import annotations

from headway.used import Used


class Mark:
    """Readings of one OS process up to which they are counted under one name; None: no reading yet. `resumed_at`: since when an
    exporter goes on with what another one had counted. `whole`: what is counted is all that it used since its start, so that who
    knows that sum knows what is missing."""

    __slots__ = ("__weakref__", "cpu", "read", "resumed_at", "whole", "written")

    def __init__(
        self, cpu: float | None, read: int | None, written: int | None, resumed_at: float | None = None, whole: bool = False
    ) -> None:
        self.cpu, self.read, self.written, self.resumed_at, self.whole = cpu, read, written, resumed_at, whole

    def back(self, used: Used) -> None:
        """So much was counted and is not."""
        self.cpu = None if self.cpu is None else self.cpu - used.cpu_seconds
        self.read = None if self.read is None else self.read - used.io_read_bytes
        self.written = None if self.written is None else self.written - used.io_written_bytes
