"""Reporter: what a script calls. Every call is a few attribute stores; the background thread (hub.py) notices and sends.

Threads: stores of attributes, dict and deque operations are atomic, so any thread, coroutine or signal handler may call anything
here. There is no lock but the one around metadata, which only an update with metadata takes.

What a loop calls for each item does not even ask whether somebody calls it (Attention): one that is called becomes a _Called, for
which storing how far it is means attending to that.
"""

from __future__ import annotations

import os
import sys
from collections import deque

from headway.ids import check_id, new_id
from headway.reporter.address import OFF, find_url
from headway.reporter.hub import Attention, clock, hub

TYPE_CHECKING = False  # as in typing, which is slow to import
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Any, Final, Self, SupportsFloat, SupportsIndex

    from headway.reporter.waiting import Waiting

    Number = SupportsFloat | SupportsIndex
    Duration = int | float | str

# Lines kept until they are sent; the exporter keeps as many of a process. The oldest go first, and their number is reported.
MAX_LINES: Final = 500
# Longer lines are cut here already, so that a script that logs a huge text does not keep it alive.
MAX_LINE: Final = 8192


class Cancelled(BaseException):
    """Someone asked to cancel this process. Raised once, by `update()` or `advance()` of a reporter with `raise_on_cancel`.

    Not an Exception, like KeyboardInterrupt: a loop that catches the errors of its items must not go on.
    """


class Reporter:
    """One tracked process, from its creation to `done()`, `fail()` or `cancel()`. Never raises (but for the opted-in Cancelled),
    never blocks, never does I/O: wrong values are left out with one warning, an unreachable exporter costs one warning.

    `name` is the label that earlier and later executions share. `type` is one of subagent, pipeline, cron, daemon, task.
    `total` and `current` count in `unit` (any word); `current` is where a resumed job begins. Durations (`expected_duration`,
    `timeout`, `lease`) are seconds or text ("90s", "1h30m"). `metadata` is anything that JSON can hold. `thresholds` overrides
    limits of the gates for this process: stuck_after, time_sink_ratio, time_sink_after, cpu_ratio, memory_ratio, waiting_after.
    `id` may be chosen (1 to 64 letters, digits, _ and -), else it is a UUIDv7. `url` and `key` find the exporter; without them
    HEADWAY_URL and HEADWAY_KEY, then http://127.0.0.1:14323. `queued`: it waits; `start()` or the first update begins it.
    `pid=False`: this OS process is not the work, so its end says nothing.
    """

    __slots__ = (
        "__weakref__",
        "_attention",
        "_baseline",
        "_begun",
        "_cancel_requested",
        "_current",
        "_fields",
        "_final",
        "_given",
        "_key",
        "_left",
        "_line_count",
        "_lines",
        "_metadata",
        "_owner",
        "_raise_on_cancel",
        "_started",
        "_state",
        "_url",
        "_waits",
        "id",
        "name",
    )

    def __init__(
        self,
        name: str,
        type: str = "task",
        total: Number | None = None,
        unit: str | None = None,
        *,
        current: Number | None = None,
        id: str | None = None,
        url: str | None = None,
        key: str | None = None,
        user: str | None = None,
        project: str | None = None,
        task: str | None = None,
        attempt: str | None = None,
        agent: str | None = None,
        group: str | None = None,
        parent_id: str | None = None,
        description: str | None = None,
        command: str | Sequence[str] | None = None,
        cwd: str | None = None,
        pid: bool | int = True,
        executor: bool = False,
        stage: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        expected_duration: Duration | None = None,
        timeout: Duration | None = None,
        lease: Duration | None = None,
        thresholds: Mapping[str, Duration] | None = None,
        cancellable: bool = False,
        raise_on_cancel: bool = False,
        queued: bool = False,
    ) -> None:
        wrong_id: Exception | None = None
        if id is not None:
            try:
                id = check_id(id)
            except ValueError as error:
                id, wrong_id = None, error
        self.id: str = id or new_id()
        self.name = name
        address = find_url(url)
        self._given: dict[str, Any] = {
            "name": name,
            "type": type,
            "status": "queued" if queued else None,
            "user": user,
            "project": project,
            "task": task,
            "attempt": attempt,
            "agent": agent,
            "group": group,
            "parent_id": hub().parent_id(address) if parent_id is None else parent_id,
            "description": description,
            "command": command,
            "cwd": cwd or _cwd(),
            "pid": None if pid else False,
            "executor": executor or None,
            "stage": stage,
            "metadata": metadata,
            "expected_duration": expected_duration,
            "timeout": timeout,
            "lease": lease,
            "thresholds": thresholds,
            "cancellable": cancellable or raise_on_cancel or None,
        }
        if pid is not True and pid is not False:
            # Noted now: a short-lived one may be gone when the background thread gets to it.
            from headway.reporter.creation import check_pid, identity

            try:
                self._given["identity"] = identity(check_pid(pid))
            except ValueError as error:
                self._given["pid"] = False  # not that of this script either: it may be meant for another
                hub().complain(f"pid of {name!r} ignored: {error}")
        # With a total the work begins at 0 unless it is resumed; without any count it has none.
        begin = 0 if current is None and total is not None else current
        self._given["progress"] = {k: v for k, v in (("current", begin), ("total", total), ("unit", unit)) if v is not None} or None
        if current is not None and self._given["progress"] is not None:
            self._given["progress"]["initial"] = current
        self._raise_on_cancel = raise_on_cancel
        self._key = key
        self._begin(address, begin, total)
        if wrong_id is not None:
            hub().complain(f"id of {name!r} ignored: {wrong_id}")

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        if not any(isinstance(vars(one).get("_current"), property) for one in cls.__mro__):
            # A class of somebody's own asks at each store.
            setattr(cls, "_current", property(_current_of, _store_and_attend))  # noqa: B010  a slot, to who checks types

    def _begin(self, url: str, current: Any, total: Any, owner: bool = True) -> None:
        self._url = url
        self._attention: int | None = None
        self._current: Any = current
        self._fields: dict[str, Any] = {"total": total}
        self._baseline = (current, dict(self._fields))  # what need not be sent: the creation says it
        self._metadata: dict[str, Any] = {}
        self._lines: deque[Any] = deque(maxlen=MAX_LINES)
        self._line_count = 0
        self._waits: dict[Waiting, object] = {}
        self._started = clock()
        self._state: tuple[str, float] | None = None
        self._begun: tuple[float, dict[str, Any]] | None = None
        self._final: tuple[float, dict[str, Any]] | None = None
        self._left: tuple[float, dict[str, Any]] | None = None
        self._cancel_requested = False
        self._owner: int | None = os.getpid() if owner else None  # whose end is its end
        if not owner:
            self._call(Attention.ELSEWHERE)  # one that was passed to another process begins there when it is used
        if owner and url != OFF:
            hub().add(self)

    # ── what a script says ─────────────────────────────────────────────────────────────────────────────────────────

    # Measured on CPython 3.11: each keyword-only default costs 11 ns a call, a positional one 3 ns. So these are positional.
    def update(
        self,
        current: Number | None = None,
        line: str | None = None,
        total: Number | None = None,
        stage: str | None = None,
        unit: str | None = None,
        summary: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """How far the work is. The latest value is sent about once a second; lines and metadata gather until then.

        Give everything after `line` by keyword. Metadata is merged; None as a value removes. An empty `stage` is none. Raises only
        the opted-in Cancelled.
        """
        # One question for all that is seldom given: asking for the line by itself would take a tenth more.
        if (
            line is not None
            or total is not None
            or stage is not None
            or unit is not None
            or summary is not None
            or metadata is not None
        ):
            if line is not None:
                self.log(line)
            if total is not None or stage is not None or unit is not None or summary is not None or metadata is not None:
                self._keep(metadata, total=total, stage=stage, unit=unit, summary=summary)
        if current is not None:
            self._current = current  # comes last: here one that is called attends
        elif self._attention is not None:
            self._attend()

    def advance(self, n: Number = 1) -> None:
        """`n` items more are done. Exact with several threads too: on CPython with its global lock no other thread can run
        between the reading and the storing of a number, and without that lock the one of the metadata is taken."""
        try:
            if GIL:
                self._current += n
            else:
                with hub().lock:
                    self._current += n
        except Exception:
            # Not a number yet: the first step, or a wrong value before, which the background thread names.
            if not isinstance(self._current, int | float):
                self._current = n
            else:
                from headway.reporter.values import brief

                hub().complain(f"advance of {self.name!r} ignored: {brief(n)} is not a number")
                if self._attention is not None:
                    self._attend()

    def log(self, line: str) -> None:
        """Adds a line (or several, by newlines) to the log."""
        if (line.__class__ is str or isinstance(line, (str, bytes, bytearray))) and len(line) > MAX_LINE:
            self._long(line)
        else:
            self._lines.append(line)
            self._line_count += 1
        if self._attention == Attention.ELSEWHERE:
            self._attend()

    def stir(self) -> None:
        """Something was written that is no line yet (a question, a row of dots): a sign of life without words."""
        self._more(None, output=clock())

    def estimate(self, *, rate: float | None = None, eta_seconds: float | None = None) -> None:
        """Overrides what the exporter works out: `rate` in items per minute, `eta_seconds` until the end. For scripts that know."""
        self._more(None, rate=rate, eta_seconds=eta_seconds)

    def limit(
        self,
        *,
        expected_duration: Duration | None = None,
        timeout: Duration | None = None,
        thresholds: Mapping[str, Duration] | None = None,
    ) -> None:
        """Changes what was given at the creation."""
        self._more(None, expected_duration=expected_duration, timeout=timeout, thresholds=thresholds)

    def start(self, pid: int | None = None) -> None:
        """A queued process begins. `pid`: the OS process that is the work from now on, where that is not the one that waited."""
        work: dict[str, Any] = {}
        if pid is not None:
            from headway.reporter.creation import check_pid, identity

            try:
                work = identity(check_pid(pid))  # now: it may be gone when the background thread gets to it
            except ValueError as error:
                hub().complain(f"pid of {self.name!r} ignored: {error}")
        self._begun = (clock(), work)
        self._change("running")

    def pause(self) -> None:
        """The work rests; `resume()` goes on."""
        self._change("paused")

    def resume(self) -> None:
        self._change("running")

    def waiting(self, what: str) -> Waiting:
        """`with reporter.waiting("approval of the release"):` a person is to do that (one line) before the work goes on. It does
        when the block is left, however that happens. For `async def` too: it waits for nothing itself."""
        from headway.reporter.waiting import Waiting

        return Waiting(self, what)

    def done(self, summary: str | None = None) -> None:
        """It succeeded. `summary`: what was achieved, in a line. The first of done, fail and cancel counts."""
        self._finish({"status": "done"}, summary)

    def fail(self, error: object = None, *, exit_code: int | None = None, summary: str | None = None) -> None:
        """It failed. `error` is a text or an exception."""
        if isinstance(error, BaseException):
            from headway.reporter.ending import describe

            error = describe(error)
        self._finish({"status": "failed", "error": error, "exit_code": exit_code}, summary)

    def cancel(self, error: object = None, *, summary: str | None = None) -> None:
        """It was ended on purpose before it was done."""
        self._finish({"status": "cancelled", "error": error}, summary)

    def end(
        self,
        status: str,
        *,
        error: object = None,
        exit_code: int | None = None,
        signal: int | None = None,
        summary: str | None = None,
        used: Mapping[str, Number] | None = None,
    ) -> None:
        """It ended so: done, failed, cancelled, killed or timed_out. For who reports about another program than itself. `used`: all
        that it used of the machine, as its parent knows: cpu_seconds, io_read_bytes, io_written_bytes."""
        self._finish({"status": status, "error": error, "exit_code": exit_code, "signal": signal, "used": used}, summary)

    def child(
        self, name: str, type: str | None = None, total: Number | None = None, unit: str | None = None, **more: Any
    ) -> Reporter:
        """A reporter whose parent is this one. What it belongs to (project, task, …) is inherited unless given."""
        for field in ("user", "project", "task", "attempt", "agent", "group"):
            more.setdefault(field, self._given[field])
        more.setdefault("url", self._url)
        more.setdefault("key", self._key)
        return Reporter(name, type or "task", total, unit, parent_id=self.id, **more)

    # ── what a script asks ─────────────────────────────────────────────────────────────────────────────────────────

    @property
    def current(self) -> Any:
        """The latest value given."""
        return self._current

    @property
    def total(self) -> Any:
        return self._fields["total"]

    @property
    def cancel_requested(self) -> bool:
        """Whether someone asked to cancel it; known within some seconds. For scripts that poll: give `cancellable=True`."""
        return self._cancel_requested

    @property
    def ended(self) -> bool:
        """Whether done, fail or cancel was said."""
        return self._final is not None

    def __repr__(self) -> str:
        return f"<Reporter {self.name!r} {self.id}>"

    # ── as a context, and in other processes ───────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # A forked child that leaves the block is not its end.
        if self._owner != os.getpid():
            return
        if error is None:
            self.done()
        else:
            from headway.reporter.ending import final_of

            final, lines = final_of(error)
            for line in lines:
                self.log(line)
            self._finish(final, None)

    def __reduce__(self) -> tuple[Any, ...]:
        """In another process: a reporter of the same id. It can say everything, but its process is not the one that is watched."""
        from headway.reporter.attached import attach
        from headway.reporter.creation import identity

        given = {**self._given, "identity": self._given.get("identity") or identity(self._owner)}
        return attach, (self.id, self.name, given, self._url, self._key, self._raise_on_cancel)

    def __copy__(self) -> Reporter:
        return self

    def __deepcopy__(self, memo: Any) -> Reporter:
        return self

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _keep(self, metadata: Any, **fields: Any) -> None:
        for field, value in fields.items():
            if value is not None:
                self._fields[field] = value
        if metadata is not None:
            hub().merge(self, metadata)

    def _more(self, metadata: Any, **fields: Any) -> None:
        self._keep(metadata, **fields)
        if self._attention is not None:
            self._attend()

    def _long(self, text: str | bytes | bytearray) -> None:
        """A text that is too long to be kept as it is: its lines, each cut."""
        lines = (text if isinstance(text, str) else text.decode("utf-8", "replace")).splitlines()
        for line in lines[-MAX_LINES:]:
            self._lines.append(line if len(line) <= MAX_LINE else line[: MAX_LINE - 1] + "…")
        self._line_count += len(lines)

    def _change(self, status: str) -> None:
        self._state = (status, clock())
        if self._attention is not None:
            self._attend()
        hub().wake()

    def _finish(self, final: dict[str, Any], summary: Any) -> None:
        if self._final is not None:
            return
        if summary is not None:
            self._fields["summary"] = summary
        self._final = (clock(), final)
        if self._attention == Attention.ELSEWHERE:
            self._attend()
        if self._url != OFF:
            hub().finished(self)

    def _inherit(self) -> None:
        """Called in a forked child: what was said before is the parent's to send."""
        self._baseline = (self._current, dict(self._fields))
        self._metadata = {}
        self._lines = deque(maxlen=MAX_LINES)
        self._line_count = 0
        self._state = self._begun = self._left = None
        self._waits = {}
        if self._final is not None:
            self._url = OFF
        self._call(Attention.ELSEWHERE)

    def _call(self, what: int) -> None:
        """What it says next is to attend to this. From any thread."""
        self._attention = what
        if self.__class__ is Reporter:
            self.__class__ = _Called

    def _attend(self) -> None:
        """Something happened that the next call must look at."""
        kind: type[Reporter] = self.__class__
        if kind is _Called:
            self.__class__ = Reporter  # first: who calls in between is heard just below
        what, self._attention = self._attention, None
        if what == Attention.ELSEWHERE and self._url != OFF:
            hub().add(self)
        elif what == Attention.CANCEL and self._final is None:
            raise Cancelled(f"process {self.name} ({self.id}) was asked to cancel")


_SLOT: Final[Any] = vars(Reporter)["_current"]


def _current_of(reporter: Reporter) -> Any:
    return _SLOT.__get__(reporter)


def _store_and_attend(reporter: Reporter, value: Any) -> None:
    _SLOT.__set__(reporter, value)
    if reporter._attention is not None:
        reporter._attend()


class _Called(Reporter):
    """A Reporter from the moment that somebody calls it until it has attended to that."""

    __slots__ = ()


GIL: Final = getattr(sys, "_is_gil_enabled", lambda: True)()


def _cwd() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  pathlib is slow to import, and this is used by scripts
    except OSError:
        return None
