"""What becomes of a line, or of a change of status, in Loki: labels, a time, a text, structured metadata. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from headway.model import Process, Status, Transition
from headway.store.base import LogLine

JOB: Final = "headway"
OTHER: Final = "other"
SECOND: Final = 1_000_000_000  # ns
# Loki takes what is up to an hour (half of ingester.max_chunk_age) older than the newest entry of its stream, and up to a week
# (limits_config.reject_old_samples_max_age) older than now. Both with a margin for clocks and for the way there.
BEHIND: Final = 1800 * SECOND
OLDEST: Final = 6 * 86_400 * SECOND
BAD_ENDS: Final = frozenset({Status.FAILED, Status.KILLED, Status.TIMED_OUT, Status.ORPHANED})

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """`ns`: unix time. `size`: about what it takes in a request (bytes)."""

    labels: Labels
    ns: int
    text: str
    metadata: Mapping[str, str]
    size: int


class Entries:
    """Makes entries. `host` is a label of all of them; names beyond `max_names` share the label `other`, because each name is a
    stream of its own there; a text beyond `line_bytes` of UTF-8 is cut, says so, and counts in `cut`.

    Times of a stream are different from each other: Loki takes two equal lines of one time for one. What comes too late for its
    own time (a reporter that was away) is told with the time of its arrival, and with its own as `said_at`.
    """

    def __init__(self, host: str, max_names: int, line_bytes: int) -> None:
        self.cut = 0
        self._host = host
        self._max_names = max_names
        self._line_bytes = line_bytes
        self._names: set[str] = set()
        self._newest: dict[Labels, int] = {}
        self._last: dict[Labels, tuple[int, int]] = {}  # its own time, the time it was given

    def line(self, process: Process, line: LogLine, now: float) -> Entry:
        """One line of output; `now` in unix seconds."""
        return self._entry(process, "output", line.at, line.text, {}, now)

    def transition(self, process: Process, change: Transition, now: float) -> Entry:
        """One change of status as a sentence."""
        words = f"created as {change.after}" if change.before is None else f"{change.before} → {change.after}"
        if change.before is not None and change.cause:
            words += f" ({change.cause})"
        said = process.error or process.activity.summary
        if change.after.ended and said:
            words += f": {said}"
        level = "error" if change.after in BAD_ENDS else "info"
        return self._entry(process, "status", change.at, words, {"status": change.after.value, "level": level}, now)

    def _entry(self, process: Process, source: str, at: float, text: str, more: Mapping[str, str], now: float) -> Entry:
        spec = process.spec
        metadata = {"id": process.id, **more}
        metadata |= {key: value for key in ("project", "task", "agent") if (value := getattr(spec, key))}
        name = self._name(spec.name)
        if name != spec.name:
            metadata["process_name"] = spec.name
        labels = (("job", JOB), ("host", self._host), ("name", name), ("kind", spec.kind.value), ("source", source))
        ns, late = self._time(labels, round(at * 1e6) * 1000, round(now * 1e6) * 1000)
        if late:
            metadata["said_at"] = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
        text = self._fitting(text)
        size = len(text.encode("utf-8", "replace")) + sum(len(key) + 4 * len(value) for key, value in metadata.items()) + 48
        return Entry(labels, ns, text, metadata, size)

    def _name(self, name: str) -> str:
        if name in self._names:
            return name
        if len(self._names) >= self._max_names:
            return OTHER
        self._names.add(name)
        return name

    def _time(self, labels: Labels, own: int, now: int) -> tuple[int, bool]:
        """The time that it is given, and whether that is not its own but that of its arrival."""
        newest = self._newest.get(labels)
        late = own < now - OLDEST or (newest is not None and own < newest - BEHIND)
        given = now if late else own
        if late and newest is not None:
            given = max(now, newest + 1)
        last = self._last.get(labels)
        if last is not None and (last[0] == own or given == last[1]):
            given = max(given, last[1] + 1)
        self._last[labels] = (own, given)
        self._newest[labels] = given if newest is None else max(newest, given)
        return given, late

    def _fitting(self, text: str) -> str:
        # A lone half of a character has no UTF-8; it would spoil the whole request.
        raw = text.encode("utf-8", "replace")
        if len(raw) <= self._line_bytes:
            return raw.decode()
        self.cut += 1
        note = f" … ({len(raw)} bytes, cut)"
        return raw[: max(0, self._line_bytes - len(note.encode()))].decode("utf-8", "ignore") + note
