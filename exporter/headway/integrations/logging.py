"""ReporterHandler: what a script logs become lines of its process."""

from __future__ import annotations

import logging
from typing import Final

from headway.reporter.hub import hub
from headway.reporter.reporter import Reporter

FORMAT: Final = "%(levelname)s %(name)s: %(message)s"


class ReporterHandler(logging.Handler):
    """Records of `level` and above go to the log of `reporter`, in `FORMAT` unless a formatter is set. Costs the script the
    formatting and an append; sending is for the background thread, whose own records, and those of what it uses, are left out."""

    def __init__(self, reporter: Reporter, level: int | str = logging.INFO) -> None:
        super().__init__(level)
        self.reporter = reporter
        self.setFormatter(logging.Formatter(FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "headway" or record.name.startswith("headway.") or _of_the_sender(record):
            return
        try:
            self.reporter.log(self.format(record))
        except Exception:
            self.handleError(record)


def _of_the_sender(record: logging.LogRecord) -> bool:
    """Its requests are logged by urllib3, too: each would bring forth the next."""
    thread = hub()._thread
    return thread is not None and record.thread == thread.ident
