"""What is still to be announced, and what was: kept over restarts. Blocking, one caller at a time."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from headway.errors import StoreUnavailable
from headway.wholefile import replace_file

log = logging.getLogger(__name__)
FILE: Final = "announcements.json"
_encode: Final = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Letter:
    """One announcement: the alert without its times, when the process ended (unix s), and the attempts so far. `failed`: an alert
    may tell the same."""

    alert: dict[str, Any]
    finished_at: float
    attempts: int = 0
    next_at: float = 0.0
    failed: bool = False


@dataclass(slots=True)
class Outbox:
    """`since`: what ended before is of no interest. `sent`: when each was delivered or given up, by id; forgotten after a while.
    `rules`: those in force, in words ("" is unknown); `looked_at`: until when all ends were judged by them."""

    path: Path
    since: float
    pending: dict[str, Letter] = field(default_factory=dict)
    sent: dict[str, float] = field(default_factory=dict)
    rules: str = ""
    looked_at: float = 0.0

    @classmethod
    def open(cls, data_dir: Path, now: float) -> Outbox:
        """A file that cannot be read is put aside: what ended up to now is then not announced twice, maybe not at all."""
        path = data_dir / FILE
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            pending = {key: Letter(**letter) for key, letter in said["pending"].items()}
            sent = {key: float(at) for key, at in said["sent"].items()}
            return cls(path, float(said["since"]), pending, sent, str(said.get("rules", "")), float(said.get("looked_at", 0.0)))
        except FileNotFoundError:
            return cls(path, now)
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.error("%s cannot be read (%s) and is put aside; what ended before now is not announced", path, error)
            try:
                path.replace(path.with_suffix(".unreadable.json"))
            except OSError:
                pass
            return cls(path, now)

    def judge_by(self, rules: str) -> None:
        """Other rules than before count for what ends from then on: what was judged by the old ones stays so."""
        if self.rules and self.rules != rules:
            self.since = max(self.since, self.looked_at)
        self.rules = rules

    def forget(self, before: float) -> None:
        """What was sent before that time (unix s) is asked for by nobody any more."""
        self.sent = {key: at for key, at in self.sent.items() if at >= before}
        self.since = max(self.since, before)

    def text(self) -> str:
        """What the file is to hold. Quick: it is asked for on the event loop, with every hundred letters of up to a thousand."""
        whole = {
            "since": self.since,
            "rules": self.rules,
            "looked_at": self.looked_at,
            "pending": self.pending,
            "sent": self.sent,
        }
        try:
            return _encode(whole).decode()
        except UnicodeEncodeError:  # a name out of a command line that is no UTF-8
            return json.dumps(whole, default=asdict, indent=1)

    def save(self, text: str) -> None:
        """Raises StoreUnavailable; the file is then as it was."""
        with suppress(msgspec.DecodeError):  # it is what it is then: indented already
            text = msgspec.json.format(text, indent=1)
        try:
            replace_file(self.path, text + "\n")
        except OSError as error:
            raise StoreUnavailable(f"{self.path} cannot be written: {error.strerror}") from None

    def due(self, now: float) -> list[str]:
        return [key for key, letter in self.pending.items() if letter.next_at <= now]

    def withdraw(self, key: str, unless: str | None = None) -> bool:
        """Takes back what is not under way yet (see :meth:`gather`), unless it tells of this outcome. Whether there was one."""
        letter = self.pending.get(key)
        if letter is None or "batch" in letter.alert["labels"] or letter.alert["labels"].get("outcome") == unless:
            return False
        del self.pending[key]
        return True

    def next_of(self, labels: Mapping[str, str], at: float) -> float:
        """When the message goes that an end with these labels belongs to: with those of its name and outcome that wait already,
        else at `at` (unix s); then too where they wait for longer, as a try does that is to be run again."""
        for one in self.pending.values():
            same = all(one.alert["labels"].get(key) == labels.get(key) for key in ("name", "outcome"))
            if same and one.attempts == 0 and one.next_at <= at:
                return one.next_at
        return at

    def wait_anew(self, until: float) -> None:
        """What an alert may tell and was not sent yet is due then (unix s) at the earliest."""
        for letter in self.pending.values():
            if letter.failed and "batch" not in letter.alert["labels"]:
                letter.next_at = max(letter.next_at, until)

    def gather(self, keys: Iterable[str]) -> bool:
        """Those that are sent for the first time together with others of their name and outcome get one `batch`, which Alertmanager
        groups by: a group that later ends do not join is told once. Whether any got one."""
        heads: dict[tuple[str, str], str] = {}
        for key in keys:
            labels = self.pending[key].alert["labels"]
            if "batch" not in labels:
                labels["batch"] = heads.setdefault((labels["name"], labels["outcome"]), key)
        return bool(heads)

    def drop(self, keys: Iterable[str], now: float) -> None:
        for key in keys:
            self.pending.pop(key, None)
            self.sent[key] = now
