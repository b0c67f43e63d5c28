"""The collector: what /metrics shows. It is told what changed, and brings its lines up to date when a page is asked for."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Mapping
from time import perf_counter
from typing import Any, Final

from headway.metrics.families import NAME_FAMILIES, PROCESS_FAMILIES, TOTAL_FAMILIES, lasting_part, stable_part
from headway.metrics.family import Family, Rows, Scope, Shown
from headway.metrics.lines import Population, clean, header, plain
from headway.metrics.own import OwnMetrics
from headway.metrics.page import Format, Piece, accepts_gzip, body, choose_format, gzipped
from headway.metrics.totals import NameKey, NameTotals
from headway.model import Status
from headway.names import NameStats
from headway.turns import at_once
from headway.view import View

_ACTIVE: Final = tuple(family for family in PROCESS_FAMILIES if family.shown is not Shown.ENDED)
_ENDED: Final = tuple(family for family in PROCESS_FAMILIES if family.shown is not Shown.ACTIVE)
_HEADERS: Final = {
    (family.name, form): b"\n" + header(family, form is Format.OPENMETRICS)
    for family in (*PROCESS_FAMILIES, *NAME_FAMILIES, *TOTAL_FAMILIES)
    for form in Format
}


def _process_labels(view: View) -> tuple[str, str, str]:
    process = view.process
    return process.id, process.name, process.kind.value


def _name_labels(stats: NameStats) -> tuple[str, str]:
    return stats.name, stats.kind.value


class Collector:
    """Shows each process by its status and all totals by name, at most `max_processes` and `max_names` of them.

    Threads: every method may be called from any thread. Telling (`put`, `remove`, …) only takes a note and costs less than a
    microsecond; `page` does the work, in the calling thread, one page at a time. It sees everything told before it began.
    `paging` is the same in steps of about a millisecond; who has begun one ends it before it asks for another.
    Lifetimes: who is active shows the families for that, who has ended those for the ended, until `remove`. The figures of a
    process are those of the view put last: active ones must be put again at each tick, or their time left goes stale.
    Over the limit: a process is left out and counted, but an active one takes the place of the one that ended first.
    """

    def __init__(self, own: OwnMetrics, *, max_processes: int = 20_000, max_names: int = 1_000) -> None:
        self._own = own
        self._max_processes = max_processes
        self._notes = threading.Lock()
        self._told: dict[str, View | None] = {}
        self._told_names: dict[NameKey, NameStats] = {}
        self._counts: Mapping[Status, int] = {}
        self._project_costs: Mapping[str, float] = {}
        # Notes pile up while nobody asks for a page; past this many they are worked off by whoever tells.
        self._told_limit = 2 * max_processes + 1_000

        self._rendering = threading.Lock()
        self._active: Population[str, View] = Population(Scope.PROCESS, _ACTIVE, _process_labels, stable_part)
        self._ended: Population[str, View] = Population(Scope.PROCESS, _ENDED, _process_labels, stable_part)
        self._names: Population[NameKey, NameStats] = Population(Scope.NAME, NAME_FAMILIES, _name_labels, lasting_part)
        self._totals = NameTotals(max_names)
        self._shown: set[str] = set()
        self._left_out: set[str] = set()
        self._dropped = 0
        self._series = 0
        self._pieces: dict[tuple[int, str], Piece] = {}
        own.watch_series(lambda: self._series)

    # ── telling ────────────────────────────────────────────────────────────────────────────────────────────────────

    def put(self, view: View) -> None:
        """A process is now like this; the last view of an id counts."""
        self._note(view.process.id, view)

    def put_all(self, views: Iterable[View]) -> None:
        """Many at once."""
        told: dict[str, View | None] = {view.process.id: view for view in views}
        with self._notes:
            self._told |= told
            full = len(self._told) > self._told_limit
        if full:
            self._relieve()

    def remove(self, process_id: str) -> None:
        """A process faded or was dismissed: its series end. Unknown ids are fine."""
        self._note(process_id, None)

    def put_name(self, stats: NameStats) -> None:
        """The totals of a name are now these. To be told at 0, before the first process of the name ends."""
        with self._notes:
            self._told_names[(stats.name, stats.kind)] = stats

    def set_status_counts(self, counts: Mapping[Status, int]) -> None:
        """How many processes are kept of each status; one that is not mentioned has none."""
        self._counts = dict(counts)

    def set_project_costs(self, costs: Mapping[str, float]) -> None:
        """Dollars by project; bounded by who tells."""
        self._project_costs = dict(costs)

    # ── showing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def page(self, accept: str | None = None, accept_encoding: str | None = None) -> tuple[bytes, str, str | None]:
        """Body, Content-Type and Content-Encoding for a request with these headers. The answer varies by both of them."""
        form = choose_format(accept)
        return self.packed(at_once(self.paging(form)), form, accept_encoding)

    def paging(self, form: Format) -> Generator[None, None, list[Piece]]:
        """The pieces of a page without the exporter's own health, in steps between which others may have their turn."""
        with self._rendering:
            took, started = 0.0, perf_counter()
            for steps in (self._settling(), self._joining()):
                for _ in steps:
                    took += perf_counter() - started
                    yield
                    started = perf_counter()
            pieces = self._render(form)
            self._own.observe_render(took + perf_counter() - started)
            return pieces

    def settling(self) -> Generator[None, None, None]:
        """Works off what was told so far, in such steps, ahead of the page that needs it."""
        with self._rendering:
            yield from self._settling()

    def packed(self, pieces: list[Piece], form: Format, accept_encoding: str | None) -> tuple[bytes, str, str | None]:
        """The page of these pieces with the exporter's own health: body, Content-Type and Content-Encoding."""
        pieces = [*pieces, Piece(self._own.page(form))]
        return (gzipped(pieces), form.value, "gzip") if accepts_gzip(accept_encoding) else (body(pieces), form.value, None)

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _note(self, process_id: str, view: View | None) -> None:
        with self._notes:
            self._told[process_id] = view
            full = len(self._told) > self._told_limit
        if full:
            self._relieve()

    def _relieve(self) -> None:
        """Works off the notes, unless a page is under way."""
        if self._rendering.acquire(blocking=False):
            try:
                at_once(self._settling())
            finally:
                self._rendering.release()

    def _settling(self) -> Generator[None, None, None]:
        """Works off the notes; broken off, they are there again."""
        with self._notes:
            told, self._told = self._told, {}
            names, self._told_names = self._told_names, {}
        done = False
        try:
            if told:
                yield from self._sorting_in(told)
            if names:
                yield from self._names.updating(list(dict(map(self._totals.put, names.values())).items()))
            done = True
        finally:
            if not done:
                with self._notes:
                    self._told = told | self._told
                    self._told_names = names | self._told_names

    def _sorting_in(self, told: Mapping[str, View | None]) -> Generator[None, None, None]:
        running = {key for key, view in told.items() if view is not None and view.process.status.active}
        removed = {key for key, view in told.items() if view is None}
        # First of all, so that nobody who is active again loses its place as the one that ended first.
        yield from self._ended.discarding([key for key in told if key in self._ended and (key in running or key in removed)])
        yield from self._active.discarding([key for key in told if key in self._active and key not in running])
        self._shown -= removed
        self._left_out -= removed
        live: list[tuple[str, View]] = []
        over: list[tuple[str, View]] = []
        for key, view in told.items():
            if view is not None and (key in self._shown or self._admit(key, key in running)):
                (live if key in running else over).append((key, view))
        yield
        yield from self._active.updating(live)
        # One that ended may have lost its place to an active one after its turn above.
        yield from self._ended.updating([(key, view) for key, view in over if key in self._shown])

    def _admit(self, process_id: str, active: bool) -> bool:
        if len(self._shown) >= self._max_processes:
            first = self._ended.first() if active else None
            if first is None:
                self._leave_out(process_id)
                return False
            self._ended.discard([first])
            self._shown.discard(first)
            self._leave_out(first)
        self._shown.add(process_id)
        self._left_out.discard(process_id)
        return True

    def _leave_out(self, process_id: str) -> None:
        if process_id not in self._left_out:
            self._left_out.add(process_id)
            self._dropped += 1

    def _joining(self) -> Generator[None, None, None]:
        """Brings the bytes of what changed together, a family at a time."""
        for population in (self._active, self._ended, self._names):
            for block in population.blocks.values():
                if not block.joined:
                    _ = block.data
                    yield

    def _render(self, form: Format) -> list[Piece]:
        """The page without the exporter's own health: for each family that has lines its header, then all its lines."""
        pieces: list[Piece] = []
        self._series = 0
        for family in PROCESS_FAMILIES:
            self._add(pieces, form, family, (self._active, self._ended))
        for family in NAME_FAMILIES:
            self._add(pieces, form, family, (self._names,))
        for family, rows in zip(TOTAL_FAMILIES, self._total_rows(), strict=True):
            if rows:
                pieces += (Piece(_HEADERS[family.name, form]), Piece(plain(family, rows)))
                self._series += len(rows)
        pieces[0] = Piece(pieces[0].data.removeprefix(b"\n"))
        pieces.append(Piece(b"\n"))
        return pieces

    def _add(self, pieces: list[Piece], form: Format, family: Family, populations: Iterable[Population[Any, Any]]) -> None:
        start = len(pieces)
        for population in populations:
            block = population.blocks.get(family.name)
            if not block:
                continue
            key = (id(population), family.name)
            piece = self._pieces.get(key)
            if piece is None or piece.data is not block.data:
                piece = self._pieces[key] = Piece(block.data)
            pieces.append(piece)
            self._series += block.series
        if len(pieces) > start:
            pieces.insert(start, Piece(_HEADERS[family.name, form]))

    def _total_rows(self) -> tuple[Rows, ...]:
        counts = self._counts
        statuses: Rows = tuple(("", (status.value,), counts.get(status, 0)) for status in Status) if counts else ()
        costs: Rows = tuple(("", (clean(project),), dollars) for project, dollars in sorted(self._project_costs.items()))
        return statuses, costs, (("", (), self._dropped),), (("", (), self._totals.dropped),)
