"""Sees processes end, and has Alertmanager tell it. Event-loop thread; what blocks runs in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from headway import repetition
from headway.announcing.outbox import Letter, Outbox
from headway.announcing.rule import AnnounceRule, When, is_announced, is_failure, rule_for
from headway.announcing.words import alert, times
from headway.errors import StoreUnavailable
from headway.model import Process
from headway.registry.entry import Entry
from headway.registry.news import news
from headway.registry.registry import Registry

log = logging.getLogger(__name__)

# How long changes gather before they are looked at (s): an end that its reporter corrects at once is told once.
PAUSE: Final = 0.5
# How long ends of one name gather for a message (s); those that an alert tells of wait longer (announce_failures_after).
GATHER: Final = 5.0
# An alert lives so long for Alertmanager (s): far beyond any time that a route gathers alerts for a message, and less than the
# group_interval of its route, so that it is looked at once: what an alert has inhibited is not told when that alert is over.
LIVES: Final = 300.0
FIRST_PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 60.0
# After that it is no news any more (s).
STALE: Final = 3600.0
MOST_PENDING: Final = 1000
IN_ONE: Final = 100
TIMEOUT: Final = 5.0


class Announcer:
    """`delivered` and `given_up` count since the start."""

    def __init__(self, registry: Registry, rules: Sequence[AnnounceRule], data_dir: Path) -> None:
        settings = registry.settings
        self.registry = registry
        self.rules = rules
        self.delivered = self.given_up = 0
        self._outbox = Outbox.open(data_dir, registry.clock())
        self._url = None if settings.alertmanager_url is None else f"{settings.alertmanager_url}/api/v2/alerts"
        self._links = {"external_url": settings.external_url, "grafana_url": settings.grafana_url or ""}
        self._changed = asyncio.Event()
        self._told = False

    @property
    def pending(self) -> int:
        return len(self._outbox.pending)

    def listens_at(self, url: str) -> None:
        """Where this exporter answers, once that is known."""
        if self.registry.settings.address[1] == 0:
            self._links["external_url"] = url

    async def run(self) -> None:
        """Until it is cancelled; where there is no Alertmanager, nothing."""
        if self._url is None:
            return
        # Whoever looks at this exporter has not seen it for a while: its alerts have as long as ever to say it before.
        self._outbox.wait_anew(self.registry.clock() + self.registry.settings.announce_failures_after)
        self._outbox.judge_by(repr(self.rules))
        seen = self.registry.feed.version
        for entry in list(self.registry.entries.values()):
            self._consider(entry)
        await self._save()  # what ends meanwhile is news
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch(seen))
                tasks.create_task(self._deliver())
        finally:
            with contextlib.suppress(StoreUnavailable):
                self._outbox.save(self._text())

    async def _watch(self, seen: int) -> None:
        async with contextlib.aclosing(news(self.registry, PAUSE, seen)) as following:
            async for changed in following:
                found = [entry for entry in changed if self._consider(entry)]
                if found:
                    await self._save()
                    self._changed.set()

    def _consider(self, entry: Entry) -> bool:
        """Whether something changed of what is to be announced. What is not yet on the disk has not happened; what was seen by
        somebody, or was no end after all, is not announced."""
        process, box = entry.process, self._outbox
        finished_at = process.finished_at
        if finished_at is None:
            box.sent.pop(process.id, None)  # it was given up and came back: its end is yet to come
            return box.withdraw(process.id)
        if process.dismissed_at is not None:
            return box.withdraw(process.id)
        if process.id in box.sent or (process.id in box.pending and not box.withdraw(process.id, unless=process.status.value)):
            return False
        if max(finished_at, process.activity.updated_at) < box.since or (entry.pending is not None and not entry.pending.done()):
            return False
        stats = self.registry.totals.of(process)
        recovered = stats is not None and stats.recovered_by(process)
        if len(box.pending) >= MOST_PENDING or not is_announced(process, self.rules, recovered):
            return False
        instance = urlsplit(self._links["external_url"]).netloc
        told = alert(process, stats, self._links, instance, again=recovered and self._tells_changes(process))
        failed, now = is_failure(process), self.registry.clock()
        wait = self.registry.settings.announce_failures_after if failed else GATHER
        if (again_at := repetition.due_at(process)) is not None:  # the last try is told, unless no other one comes
            wait = max(wait, again_at + repetition.LATE - now)
        due = now + wait
        if again_at is None:
            due = box.next_of(told["labels"], due)
        box.pending[process.id] = Letter(told, finished_at, next_at=due, failed=failed)
        return True

    def _tells_changes(self, process: Process) -> bool:
        rule = rule_for(process, self.rules)
        return rule is not None and rule.when is When.ON_CHANGE

    async def _deliver(self) -> None:
        while True:
            now = self.registry.clock()
            self._outbox.forget(now - STALE)
            if due := [key for key in self._outbox.due(now) if not self._was_seen(key)][:IN_ONE]:
                if self._outbox.gather(due):
                    await self._save()  # what is sent once more must be the same: Alertmanager tells it once then
                await self._send(due, now)
                continue
            # Not wait_for(), which in Python 3.11 may swallow that it is cancelled, and then the exporter never stops.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0 if self._outbox.pending else 30.0):
                    await self._changed.wait()
            self._changed.clear()

    def _was_seen(self, key: str) -> bool:
        """What ended badly leaves the active view when somebody dismisses it, and is announced to nobody then."""
        return self._outbox.pending[key].failed and key not in self.registry.entries and self._outbox.withdraw(key)

    async def _send(self, keys: Sequence[str], now: float) -> None:
        box = self._outbox
        letters = {key: box.pending[key] for key in keys}
        stale = [key for key, letter in letters.items() if now - letter.finished_at >= STALE and letter.attempts]
        alerts = [letter.alert | times(letter.finished_at, now + LIVES) for key, letter in letters.items() if key not in stale]
        assert self._url is not None
        refused = await asyncio.to_thread(post, self._url, alerts) if alerts else None
        if refused is None or refused.final:
            box.drop([key for key in keys if key not in stale], now)
            if refused is None:
                self.delivered += len(alerts)
                self._told = False
            else:
                self.given_up += len(alerts)
                log.error("%d ends cannot be announced: %s", len(alerts), refused.reason)
        else:
            for key in keys:
                letter = letters[key]
                letter.attempts += 1
                letter.next_at = now + min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(letter.attempts - 1, 10))
            if not self._told:
                self._told = True
                log.info("ends wait to be announced, and are tried for an hour: %s", refused.reason)
        if stale:
            box.drop(stale, now)
            self.given_up += len(stale)
            log.warning("%d ends were not announced within an hour", len(stale))
        await self._save()

    def _text(self) -> str:
        # What ended within the pause may not have been looked at.
        self._outbox.looked_at = self.registry.clock() - 2 * PAUSE
        return self._outbox.text()

    async def _save(self) -> None:
        text = self._text()
        try:
            await asyncio.to_thread(self._outbox.save, text)
        except StoreUnavailable as error:
            log.warning("%s; what is to be announced is only in memory", error.detail)


class Refused:
    """Why nothing was taken. `final`: it would not be at another time either."""

    def __init__(self, reason: str, final: bool) -> None:
        self.reason = reason
        self.final = final


def post(url: str, alerts: Sequence[dict[str, object]]) -> Refused | None:
    """Gives alerts to Alertmanager. Blocking."""
    import requests

    host = urlsplit(url).hostname
    started = time.monotonic()
    try:
        with requests.Session() as session:
            session.trust_env = host not in ("localhost", "127.0.0.1", "::1")
            answer = session.post(url, json=list(alerts), timeout=TIMEOUT, allow_redirects=False)
    except (requests.RequestException, ValueError) as error:
        after = f" after {time.monotonic() - started:.0f} s" if isinstance(error, requests.Timeout) else ""
        return Refused(
            f"Alertmanager at {url} does not answer{after} ({type(error).__name__}): alertmanager_url says where it is", False
        )
    if answer.status_code == 200:
        return None
    final = answer.status_code in (400, 413, 422)
    return Refused(f"Alertmanager at {url} answers {answer.status_code}: {answer.text[:300].strip()}", final)
