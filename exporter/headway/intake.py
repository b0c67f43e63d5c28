"""The intake: brings what ended scripts of this host left in the spool to this exporter, through its own front door."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from headway.reporter import spool
from headway.reporter.link import Link, Undelivered
from headway.reporter.trust import Trust

log = logging.getLogger(__name__)


class Intake:
    """`urls` are the addresses under which scripts know this exporter; a spooled event names the one it was meant for. `via` is
    where it answers, `trust` how its own certificate is known to be its own.

    Going through the API keeps one set of rules for what is accepted, and nothing here writes records. Blocking: run it in
    a thread.
    """

    def __init__(self, folders: Iterable[Path], urls: Iterable[str], key: str | None, via: str, trust: Trust | None = None) -> None:
        self.folders: Sequence[Path] = tuple(dict.fromkeys(folders))
        self.links: Sequence[Link] = tuple(Link(url, key, via, trust) for url in dict.fromkeys(urls))

    def collect(self) -> int:
        """Delivers what waits; returns how many events were taken. What cannot be stored now stays for the next round."""
        taken = 0
        for folder in self.folders:
            if not any(spool.ready(folder)):
                continue
            for link in self.links:
                try:
                    delivered, refusals = spool.deliver(folder, link)
                except (Undelivered, OSError) as error:
                    log.warning("the spool %s waits: %s", folder, error)
                    continue
                taken += delivered
                for refusal in refusals:
                    log.warning("an event in the spool %s was refused and kept beside it: %s", folder, refusal)
        if taken:
            log.info("took %d events from scripts that had ended", taken)
        return taken

    def close(self) -> None:
        for link in self.links:
            link.close()
