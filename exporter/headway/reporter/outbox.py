"""What one reporter has still to say, as items of a batch request. Used by the background thread alone.

`collect` notices what changed since it last looked (the latest value wins). `items` makes it into items with a sequence number;
these stay as they are until the exporter has answered each, so that a repeat is the same item and harmless. `settle` takes the
answer.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from headway.reporter import values
from headway.reporter.creation import creation, duration, identity, surroundings, thresholds
from headway.reporter.hub import Attention, Hub
from headway.reporter.link import encode
from headway.reporter.reporter import Reporter

# Renewed well within the lease (5 min unless given): a lost request or two do no harm.
HEARTBEAT: Final = 60.0
HEARTBEATS_PER_LEASE: Final = 4
# Whoever polls cancel_requested learns of it from the answer to something that was sent; as often as one that makes progress.
CANCELLABLE_HEARTBEAT: Final = 1.0
# While it is queued: hundreds may wait, each an OS process of its own, and no lease runs out.
QUEUED_HEARTBEAT: Final = 3.0
# How long after a loop was left early its process ends: whether an exception ends the script is known by then.
LEFT_GRACE: Final = 1.0
# After an update was refused because the process has ended there (killed, dismissed), the next try.
REFUSED_PAUSE: Final = 60.0
# The exporter takes 1,000 in an item.
MAX_LINES_PER_ITEM: Final = 999
# Of an item's log as JSON; the exporter takes 4 MiB in a request unless it was set otherwise, and keeps 256 KiB of a process.
MAX_LOG_BYTES: Final = 2 * 1024 * 1024
# A character beyond 16 bits as JSON in ASCII.
LONGEST_ESCAPE: Final = 12

_FIELDS: Final[dict[str, Callable[[Any], Any]]] = {
    "stage": lambda value: values.text(value, values.MAX_LABEL),
    "summary": lambda value: values.text(value, values.MAX_TEXT),
    "rate": values.count,
    "eta_seconds": values.count,
    "expected_duration": duration,
    "timeout": duration,
    "thresholds": thresholds,
    "waiting_for": lambda value: " ".join(values.text(value, values.MAX_WAITING).split()),
    "output": lambda value: True,  # a new moment each time
}
_PROGRESS: Final[dict[str, Callable[[Any], Any]]] = {
    "total": values.count,
    "unit": lambda value: values.text(value, values.MAX_UNIT),
}


class Item:
    """One item on its way. `at` is when it happened; `seq` None: not numbered."""

    __slots__ = ("at", "body", "create", "final", "seq")

    def __init__(self, body: dict[str, Any], at: float, seq: int | None, *, final: bool = False) -> None:
        self.body = body
        self.at = at
        self.seq = seq
        self.create = False
        self.final = final


class Outbox:
    """`complain` takes a field and why its value is ignored. `finished`: the last word has arrived, or never will."""

    def __init__(self, reporter: Reporter, hub: Hub, complain: Callable[[str, object], None]) -> None:
        self.reporter = reporter
        self.finished = False
        self._hub = hub
        self._complain = complain
        self._numbered = reporter._owner == os.getpid()
        self._created = not self._numbered
        self._creation: dict[str, Any] | None = None
        self._implicit: set[str] = set()
        self._raw_current, fields = reporter._baseline
        self._raw_fields: dict[str, Any] = dict(fields)
        self._current: float | None = None
        self._changes: dict[str, Any] = {}
        self._changed_at: float | None = None
        self._state: tuple[str, float] | None = None
        self._state_seen: tuple[str, float] | None = None
        self._final: tuple[float, dict[str, Any]] | None = None
        self._lines_seen = self._lines_taken = 0
        self._waiting: list[Item] = []
        self._seq = 0
        self._heard_at = float("-inf")
        self._mute_until = float("-inf")
        given = reporter._given
        self._queued = given["status"] == "queued"
        lease = _duration_or(given["lease"], HEARTBEAT * HEARTBEATS_PER_LEASE)
        self._heartbeat = min(HEARTBEAT, lease / HEARTBEATS_PER_LEASE)
        if given["cancellable"]:
            self._heartbeat = min(self._heartbeat, CANCELLABLE_HEARTBEAT)

    # ── noticing ───────────────────────────────────────────────────────────────────────────────────────────────────

    def collect(self, now: float) -> None:
        """Notices what changed. The final word is looked for first: whatever was said before it is then seen too."""
        reporter = self.reporter
        left = reporter._left
        if left is not None and reporter._final is None and now - left[0] >= LEFT_GRACE:
            reporter._final = left
        self._final = reporter._final
        raw = reporter._current
        if raw is not None and (raw is not self._raw_current or type(raw) not in (int, float)):
            self._raw_current = raw
            current = self._checked("current", values.count, raw)
            if current is not None and current != self._current:
                self._current = current
                self._changes.setdefault("progress", {})["current"] = current
                self._changed_at = now
                if self._queued and reporter._state is None:
                    reporter._state = ("running", now)
        for field, value in list(reporter._fields.items()):
            if value is not None and value is not self._raw_fields.get(field):
                self._raw_fields[field] = value
                self._notice(field, value, now)
        if reporter._state is not self._state_seen:
            self._state = self._state_seen = reporter._state
        if reporter._line_count != self._lines_seen or reporter._metadata:
            self._lines_seen = reporter._line_count
            self._changed_at = now

    def _notice(self, field: str, value: Any, now: float) -> None:
        if field in _PROGRESS:
            checked = self._checked(field, _PROGRESS[field], value)
            if checked is not None:
                self._changes.setdefault("progress", {})[field] = checked
        else:
            checked = self._checked(field, _FIELDS[field], value)
            if checked is not None:
                self._changes[field] = None if field in ("stage", "waiting_for") and not checked else checked
        if checked is not None:
            self._changed_at = now

    def _checked(self, field: str, check: Callable[[Any], Any], value: Any) -> Any:
        try:
            return check(value)
        except Exception as error:
            self._complain(field, error)
            return None

    # ── saying ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def items(self, now: float) -> list[Item]:
        """What is to be sent now, in order; empty if nothing. The same items again until each is settled."""
        if not self._waiting and not self.finished:
            self._waiting = self._made(now)
        return list(self._waiting)

    def rest(self, now: float) -> list[Item]:
        """What is left to say when this OS process ends, whether it was sent or not."""
        left = self._waiting if any(item.final for item in self._waiting) else [*self._waiting, *self._made(now)]
        if self.reporter._final is None:
            # The work goes on in another process: what that has said meanwhile must not be replaced by older news.
            for item in left:
                item.body = {field: value for field, value in item.body.items() if field in ("log", "metadata")}
            left = [item for item in left if item.body]
        return left

    @property
    def status_arrived(self) -> bool:
        """Whether the exporter has heard of its last change of status."""
        return self._created and self._state_seen is self.reporter._state and self._state is None and not self._waiting

    @property
    def ended(self) -> bool:
        """Whether the last word is known."""
        return self._final is not None

    def sealed(self, now: float) -> list[Item]:
        """All that is left to say of a process that has ended; asked again, the same items."""
        self._waiting = self.rest(now)
        return list(self._waiting)

    def _made(self, now: float) -> list[Item]:
        final = self._final
        if now < self._mute_until and final is None:
            return []
        made: list[Item] = []
        if self._state is not None:
            status, at = self._state
            self._state = None
            if self._queued and self.reporter._begun is not None:
                began, work = self.reporter._begun
                body = {"status": "running", **{field: value for field, value in work.items() if field != "host"}}
                made.append(Item(body, began, self._next_seq()))
            if not (made and status == "running"):
                made.append(Item({"status": status}, at, self._next_seq()))
            self._queued = False
        if final is not None or self._changed_at is not None:
            body, self._changes = self._changes, {}
            self._add_lines(body)
            self._add_metadata(body)
            at = self._changed_at if self._changed_at is not None else now
            self._changed_at = None
            if final is not None:
                at, words = final
                body.update(self._final_words(words))
            made.append(Item(body, at, self._next_seq(), final=final is not None))
        heartbeat = max(self._heartbeat, QUEUED_HEARTBEAT) if self._queued else self._heartbeat
        if not made and (not self._created or now - self._heard_at >= heartbeat):
            made.append(Item({"alive": True}, now, self._next_seq()))
        if made and not self._created:
            made[0].create = True
        return made

    def _final_words(self, words: dict[str, Any]) -> dict[str, Any]:
        said: dict[str, Any] = {"status": words["status"]}
        if words.get("summary") is not None and self.reporter._fields.get("summary") is None:
            said["summary"] = values.text(words["summary"], values.MAX_TEXT)
        if words.get("error") is not None:
            said["error"] = values.text(words["error"], values.MAX_TEXT)
        code = words.get("exit_code")
        if isinstance(code, int):
            said["exit_code"] = code if -255 <= code <= 0xFFFFFFFF else code & 0xFF
        if isinstance(words.get("signal"), int):
            said["signal"] = words["signal"]
        if words.get("used") and (used := self._checked("used", values.used, words["used"])):
            said["used"] = used
        return said

    def _add_lines(self, body: dict[str, Any]) -> None:
        reporter = self.reporter
        written = reporter._line_count
        raw: list[Any] = []
        for _ in range(len(reporter._lines)):
            try:
                raw.append(reporter._lines.popleft())
            except IndexError:  # another thread's append has pushed it out
                break
        # A line is stored before it is counted, so this is never more than was really lost.
        dropped = written - self._lines_taken - len(raw)
        self._lines_taken = max(written, self._lines_taken + len(raw))
        lines = [values.text(part, values.MAX_LINE) for line in raw for part in _split(line)]
        if len(lines) > MAX_LINES_PER_ITEM:
            dropped = max(dropped, 0) + len(lines) - MAX_LINES_PER_ITEM
            lines = lines[-MAX_LINES_PER_ITEM:]
        fitting = _fitting(lines)
        dropped = max(dropped, 0) + len(lines) - len(fitting)
        lines = fitting
        if dropped > 0:
            lines.insert(0, f"… {dropped} lines dropped, faster than they can be sent …")
        if lines:
            body["log"] = lines

    def _add_metadata(self, body: dict[str, Any]) -> None:
        reporter = self.reporter
        if not reporter._metadata:
            return
        with self._hub.lock:
            patch, reporter._metadata = reporter._metadata, {}
        for _ in range(3):
            try:
                body["metadata"] = values.plain(patch)
                return
            except RuntimeError:  # the script changes a list or mapping inside it just now
                continue
            except Exception as error:  # a mapping of the script's own that fails
                self._complain("metadata", error)
                return
        self._complain("metadata", "it changes while it is read; pass a copy")

    def _next_seq(self) -> int | None:
        """Always growing, also over executions that use the same id again: microseconds of the wall clock. Only the process whose
        work it is numbers what it says; numbers of several processes would shut each other out."""
        if not self._numbered:
            return None
        self._seq = max(self._seq + 1, time.time_ns() // 1000)
        return self._seq

    def rendered(self, item: Item, now: float) -> dict[str, Any]:
        """The item as JSON members, its age as of now."""
        shown: dict[str, Any] = {"id": self.reporter.id, "age": round(max(0.0, now - item.at), 3), **item.body}
        if item.seq is not None:
            shown["seq"] = item.seq
        if item.create:
            started = round(max(0.0, now - self.reporter._started), 3)
            shown["create"] = {**self._creation_fields(), "started_age": started}
        return shown

    def _creation_fields(self) -> dict[str, Any]:
        if self._creation is None:
            given = dict(self.reporter._given)
            watched = given.pop("pid") is not False
            whereabouts = given.pop("identity", None) or _identity_in(os.getpid(), self.reporter._owner)
            if not watched:
                whereabouts = {field: value for field, value in whereabouts.items() if field == "host"}
            said = creation(given, self._complain)
            self._creation = {**surroundings_in(os.getpid()), **whereabouts, **said}
            self._implicit = self._creation.keys() - said.keys()
        return self._creation

    # ── hearing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def settle(self, item: Item, result: dict[str, Any], now: float) -> str | None:
        """Takes the answer to an item. Returns why it must be tried again later, None if it needs not."""
        status = result["status"]
        problem = result.get("error") or {}
        detail = str(problem.get("detail") or problem.get("title") or status)
        self._heard_at = now
        if status == 200:
            self._heard(item, result)
        elif status >= 500 or status in (408, 429) or (status in (401, 403) and not problem.get("field")):
            return detail
        elif status == 404 and not item.create:
            item.create = True  # it lost its memory, or never had it
        elif status == 409 and problem.get("field") != "id":
            if item.create:
                self._ended_before()
            self._created = True
            self._mute_until = now + REFUSED_PAUSE
            self._dispose(item)
        elif not self._without(item, str(problem.get("field") or ""), detail) and not (
            status == 413 and self._lighter(item, detail)
        ):
            if item.final and len(item.body) > 1:
                item.body = {"status": item.body["status"]}  # the end itself must arrive
                return None
            self._complain("" if item.create else "update", f"{self.reporter.name!r} is refused: {detail}")
            self.finished = self.finished or item.create
            self._dispose(item)
        return None

    def _heard(self, item: Item, result: dict[str, Any]) -> None:
        self._created = self._created or item.create
        if result.get("ended_before"):
            self._ended_before()
        if result.get("cancel_requested") and not self.reporter._cancel_requested:
            self.reporter._cancel_requested = True
            if self.reporter._raise_on_cancel:
                self.reporter._call(Attention.CANCEL)
        self._dispose(item)

    def _ended_before(self) -> None:
        words = f"{self.reporter.name!r} is not kept: the earlier process with the id {self.reporter.id} has ended"
        self._complain("", f"{words}; give each run an id of its own, or none")

    def _dispose(self, item: Item) -> None:
        self.finished = self.finished or item.final
        if item in self._waiting:
            self._waiting.remove(item)
        if self._waiting and not self._created:
            self._waiting[0].create = True

    def _without(self, item: Item, path: str, detail: str) -> bool:
        """Leaves out the field that was refused, so that the rest arrives. False if it cannot be left out."""
        parts = [part for part in re.split(r"[^A-Za-z0-9_]+", path) if part and not part.isdecimal()]
        parts = [part for part in parts if part not in ("items", "create")]
        field, below = (*parts, "", "")[:2]
        if not field or field in ("name", "type", "status"):
            return False
        for fields in (self._creation_fields() if item.create else {}, item.body):
            if field not in fields:
                continue
            inner = fields[field]
            if field == "metadata" and isinstance(inner, dict) and len(inner) > 1:
                largest = max(inner, key=lambda key: len(encode(inner[key])))
                del inner[largest]
                self._complain(f"metadata.{largest}", detail)
                return True
            if field == "pid":  # without it they mean nothing
                for whereabouts in ("create_time", "pid_namespace"):
                    fields.pop(whereabouts, None)
            if isinstance(inner, dict) and below in inner and len(inner) > 1 and field != "metadata":
                del inner[below]
            else:
                del fields[field]
            if fields is item.body or field not in self._implicit:
                self._complain(path, detail)
            return True
        return False

    def _lighter(self, item: Item, detail: str) -> bool:
        """Leaves out the largest part of an item that is too long for the exporter. False if nothing can be left out."""
        heavy = ("log", "metadata", "command", "description", "error", "summary")
        parts = [
            (len(encode(fields[field])), field, fields)
            for fields in (self._creation_fields() if item.create else {}, item.body)
            for field in heavy
            if field in fields
        ]
        if not parts:
            return False
        _, field, fields = max(parts, key=lambda part: part[0])
        del fields[field]
        self._complain(field, detail)
        return True


# The same for all reporters of an OS process; a forked child has a pid of its own.
@lru_cache(maxsize=16)
def _identity_in(process: int, pid: int | None) -> dict[str, Any]:
    return identity(pid)


@lru_cache(maxsize=1)
def surroundings_in(process: int) -> dict[str, Any]:
    return surroundings()


def _fitting(lines: list[str]) -> list[str]:
    """The newest of these lines that one item can carry."""
    if sum(map(len, lines)) * LONGEST_ESCAPE <= MAX_LOG_BYTES:
        return lines
    size = 0
    for index in range(len(lines) - 1, -1, -1):
        size += len(encode(lines[index])) + 1
        if size > MAX_LOG_BYTES:
            return lines[index + 1 :]
    return lines


def _split(line: Any) -> list[Any]:
    if isinstance(line, bytes):
        line = line.decode("utf-8", "replace")
    return line.splitlines() or [""] if isinstance(line, str) else [line]


def _duration_or(value: Any, default: float) -> float:
    try:
        return default if value is None else duration(value)
    except Exception:
        return default
