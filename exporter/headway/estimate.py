"""How fast a process is and how long it still needs, from what it reported. Pure: standard library only, `now` is an argument.

One :class:`Estimator` belongs to one running process. It keeps a bounded number of points (time, items done), spread evenly over
the run, however many updates arrive. What is not known is None: no rate before there was progress, no time left without a total.
How the time left is worked out: :mod:`headway.forecast` and docs/estimates.md.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from copy import copy
from itertools import pairwise
from math import inf, isfinite
from typing import Final, NamedTuple, TypeAlias

from headway.forecast import LEAST_PARTS, LONGEST, PARTS, USUAL_PARTS, Parts, forecast
from headway.shape import SHARES, Shape, usual_of

POINTS: Final = 128  # points kept at most; then every second one goes and the spacing doubles
FIRST_SPACING: Final = 0.05  # s
# Updates that come within this share of the spacing, or within FIRST_SPACING, are one; but never those of a whole second.
ONE_WITHIN: Final = 0.5
ONE_AT_MOST: Final = 0.5  # s
CLOCK_STEP: Final = 1.0  # a clock that goes back by more (s) was set; by less, two threads crossed

# A forecast costs some 50 µs. In between it is scaled with the work that is left, and made anew when this share of the time worked
# has passed, or when the work went on so differently from what it said; at most once a second, in the first three seconds when half
# as much time again was worked. What is told late is an error like any other: with a quarter, a tenth and five seconds the mean
# error was a tenth larger, and that of jobs of a few seconds by a third.
ANEW_AFTER: Final = 0.15
ANEW_OFF: Final = 0.05
ANEW_AT_MOST_EVERY: Final = 1.0
ANEW_YOUNG: Final = 1 / 3  # of the time worked
PATIENT: Final = 10.0  # s; a forecast that is older is made anew whoever asks

RATE_SHARE: Final = 0.1  # the rate looks back over this share of the time worked,
RATE_WINDOW: Final = 300.0  # but not over more seconds than this,
RATE_FEW: Final = 5  # updates from which on their usual gap counts as known
RATE_UPDATES: Final = 3  # and never over less than this many updates usually take,
# nor over less than the last so many items, or so many seconds, whichever is less: a reporter sends once a second, so an update of
# a job with an item each 0.9 s tells one item, or two.
RATE_ITEMS: Final = 15
RATE_ITEMS_WITHIN: Final = 15.0
GAPS: Final = 10  # the usual gap between updates is a moving mean over so many: a new one counts a tenth

# The first update of a run that goes on from where another left off tells what was there already, in no time. It is known by a step
# so many times larger than any since, at a pace so many times faster than the one since.
HEAD_START: Final = 10.0

BEFORE_PROGRESS: Final = (0.6, 1.6)  # factors of the range while only earlier runs are known: three quarters of the recorded jobs

# While nothing arrives: time runs down for this share of the usual gap, so that the next update is no surprise; then the time left
# grows by this share of the silence, and the upper end of the range by so many times it.
CALM: Final = 2 / 3
LATE: Final = 0.5
LATE_HIGH: Final = 2.0

Figures: TypeAlias = tuple[float | None, float | None, tuple[float, float] | None]


class _Fit(NamedTuple):
    """A forecast made `at` a time, when so much `work` of `total` was left, measured by the `shape` of earlier runs or by items.
    `low` and `high` are factors of `seconds`."""

    at: float
    total: float
    shape: Shape | None
    work: float
    seconds: float
    low: float
    high: float


class Estimator:
    """Rate and time left of one process. Mutable, not thread-safe, at most POINTS points large.

    Of updates that come close together only the last is noted, and what follows from it is worked out when somebody asks.

    `started_at` unix seconds; `initial` items that were done before (a resumed run); `shapes` of earlier runs of the same name,
    newest last, each as :meth:`shape` returned it.
    """

    __slots__ = (
        "_dones",
        "_fit",
        "_gap",
        "_gaps",
        "_heard_at",
        "_initial",
        "_known",
        "_left",
        "_next",
        "_one_within",
        "_paused_at",
        "_restarted",
        "_shapes",
        "_spacing",
        "_times",
        "_told",
        "_usual",
    )

    def __init__(self, started_at: float, initial: float | None = None, shapes: Sequence[Sequence[float]] = ()) -> None:
        self._shapes = tuple(map(tuple, shapes))
        self._usual: Shape | None = None
        self._paused_at: float | None = None
        self._restarted = False
        self._told: tuple[float, float] | None = None
        self._begin(started_at, initial or 0.0)

    def _begin(self, t: float, done: float) -> None:
        self._initial = done
        self._times, self._dones = array("d", (t,)), array("d", (done,))  # a quarter of the memory of lists: caches hold more
        self._spacing, self._next, self._one_within = FIRST_SPACING, t, FIRST_SPACING
        self._gap, self._gaps, self._heard_at = 0.0, 0, t
        self._fit: _Fit | None = None
        self._known: _Known | None = None
        self._left = False  # whether nobody looked if what is known wants a new forecast

    def add(self, t: float, done: float) -> None:
        """At `t` (unix s) `done` items were done in all; repeating the same count changes nothing.

        A count that falls below half of what it was begins anew from there; one that falls less is a correction.
        """
        heard = self._heard_at
        if heard <= t < heard + self._one_within and self._paused_at is None:
            self._told = t, done
            return
        if self._told is not None:
            self._take_in()
        if self._paused_at is not None and t > self._paused_at:
            t = self._paused_at  # time stands still
        times, dones, self._known = self._times, self._dones, None
        if done > dones[-1] and t >= times[-1]:
            gaps = self._gaps
            # The wait for the first update is forgotten when there is a second one: it often was for something else.
            self._gap += (t - heard - self._gap) / (gaps or 1)
            if gaps < GAPS:
                self._gaps = gaps + 1
            self._heard_at = t
            if t < self._next:
                times[-1], dones[-1] = t, done  # the last point moves on until it is far enough from the one before
            else:
                self._append(t, done)
        elif done != dones[-1]:
            self._unusual(t, done)

    def calm_until(self, t: float) -> float:
        """After :meth:`add` at `t`: of what is added before this time only the last counts, so that the others need not be."""
        heard = self._heard_at
        return heard + self._one_within if heard <= t else t

    def pause(self, t: float) -> None:
        """From `t` on it does nothing, on purpose: time stands still until :meth:`resume`."""
        if self._told is not None:
            self._take_in()
        if self._paused_at is None:
            self._paused_at = max(t, self._times[-1])

    def resume(self, t: float) -> None:
        """It goes on at `t`; the pause never was."""
        if self._told is not None:
            self._take_in()
        if self._paused_at is not None:
            self._shift(max(0.0, t - self._paused_at))
            self._paused_at = None

    def figures(self, now: float, total: float | None, *, patient: bool = False) -> Figures:
        """At once what :meth:`rate`, :meth:`eta` and :meth:`eta_range` say.

        Who is `patient` takes the last forecast, scaled, if it is not older than PATIENT: who asks for thousands at once would wait
        for all of theirs. The next one who is not gets a new one made, where one is :attr:`due`. What was told since the last
        update that counted, within half a second, waits for that, too: till then the time left runs down.
        """
        known = self._known
        if self._told is not None:
            if patient and known is not None and (figures := self._run_down(known, self._told, now, total)) is not None:
                return figures
            self._take_in()
            known = self._known
        if known is None or known[0] != total or (self._left and not patient):
            known = self._known = self._work_out(total, patient)
        _, rate, seconds, low, high, calm = known
        silent = (now if self._paused_at is None else self._paused_at) - self._times[-1]
        if silent > self._gap:
            rate = self._rate(silent)
        if not seconds:
            return rate, seconds, None if seconds is None else (0.0, 0.0)
        if silent <= 0:
            return rate, seconds, (low, high)
        if silent <= calm:
            return rate, seconds - silent, (low * (1 - silent / seconds), high - silent)
        late = silent - calm
        low *= 1 - calm / seconds
        return rate, min(LONGEST, seconds - calm + LATE * late), (low, min(LONGEST, high - calm + LATE_HIGH * late))

    def _run_down(self, known: _Known, told: tuple[float, float], now: float, total: float | None) -> Figures | None:
        """What is `known`, so much later; None where what was told since changes more than that."""
        of, rate, seconds, low, high, _ = known
        if of != total or told[1] < self._dones[-1]:
            return None
        if seconds is None:
            return (rate, None, None) if total is None else None
        late = now - self._times[-1]
        if total is None or told[1] >= total or not 0 <= late < ONE_AT_MOST or late >= seconds:
            return None
        return rate, seconds - late, (low * (1 - late / seconds), high - late)

    @property
    def due(self) -> bool:
        """Whether a patient one was told less than is known: there should be a new forecast."""
        fit, known = self._fit, self._known
        if not self._left or fit is None or known is None or not known[2]:
            return False
        return self._outdated(fit, self._times[-1], fit.total, known[2])

    def rate(self, now: float) -> float | None:
        """Items per second lately; None before any progress. Silence counts when it is longer than usual; then it ends at 0."""
        return self.figures(now, self._known[0] if self._known is not None else None)[0]

    def eta(self, now: float, total: float | None) -> float | None:
        """Seconds until `total` items are done; None while unknown, 0 when nothing is left."""
        return self.figures(now, total)[1]

    def eta_range(self, now: float, total: float | None) -> tuple[float, float] | None:
        """Seconds that :meth:`eta` is below in one of ten cases, and above in one of ten.

        While nothing arrives, the ratio of the two never becomes smaller.
        """
        return self.figures(now, total)[2]

    def alone(self, now: float, total: float | None) -> tuple[float, float, float] | None:
        """Time left and the bounds of its range as this run alone tells them; None where earlier runs have no say anyway, or
        nothing is known. Worked out anew each time: for an analysis, not for a page."""
        if not self._shapes:
            return None
        if self._told is not None:
            self._take_in()
        other = copy(self)  # which shares what it reads only
        other._shapes, other._usual, other._fit, other._known = (), None, None, None
        _, seconds, bounds = other.figures(now, total)
        return None if seconds is None or bounds is None else (seconds, *bounds)

    def shape(self) -> tuple[float, ...]:
        """The items of the whole run, then the seconds from its start at which 1/SHARES, 2/SHARES … of them were done.

        Empty when it teaches nothing: no progress, a count that began anew, or a resumed run, whose first part was elsewhere.
        """
        if self._told is not None:
            self._take_in()
        done = self._dones[-1]
        if done <= 0 or self._initial > 0 or self._restarted:
            return ()
        return (done, *self._parted(SHARES)[1:])

    def _take_in(self) -> None:
        """Moves the last point on to what was told since."""
        if self._told is None:
            return
        t, done = self._told
        self._told = None
        if done == self._dones[-1]:
            return
        self._known = None
        if done < self._dones[-1] or t < self._times[-1]:
            self._unusual(t, done)
        elif t < self._next:
            self._times[-1], self._dones[-1] = t, done
        else:
            self._append(t, done)

    def _work_out(self, total: float | None, patient: bool) -> _Known:
        """What stays as it is until something arrives."""
        at, done, rate = self._times[-1], self._dones[-1], self._rate(0.0)
        self._left = False
        if total is None:
            return total, rate, None, 0.0, 0.0, 0.0
        if done >= total:
            return total, rate, 0.0, 0.0, 0.0, 0.0
        seconds, fit = 0.0, self._fit
        if fit is not None:
            made_at, of, shape, work, said, _, _ = fit
            seconds = said * ((total - done if shape is None else shape.left(done, total)) / work)
            if patient and total == of and at - made_at < PATIENT:
                self._left = seconds > 0
            elif self._outdated(fit, at, total, seconds):
                seconds = 0.0
        if not seconds > 0:  # not a number, where one overflowed: anew
            fit = self._fit = self._forecast(at, done, total)
            if fit is None:
                return total, rate, None, 0.0, 0.0, 0.0
            seconds = fit.seconds
        elif seconds > LONGEST:
            seconds = LONGEST
        assert fit is not None
        due = self._gap if done > self._initial and self._gap < seconds else seconds  # after the usual gap, or at the end
        return total, rate, seconds, seconds * fit.low, min(LONGEST, seconds * fit.high), CALM * due

    def _outdated(self, fit: _Fit, at: float, total: float, seconds: float) -> bool:
        """Whether a forecast that says `seconds` now is to be made anew."""
        age, worked = at - fit.at, at - self._times[0]
        return age >= min(ANEW_AT_MOST_EVERY, ANEW_YOUNG * worked) and (
            total != fit.total or age >= ANEW_AFTER * worked or abs(seconds - fit.seconds + age) > ANEW_OFF * seconds
        )

    def _rate(self, silent: float) -> float | None:
        """The rate after so many seconds without progress."""
        times, dones = self._times, self._dones
        until, done, gap = times[-1], dones[-1], self._gap
        if done <= self._initial:
            return None
        if silent > gap:
            until += silent - gap
        few = len(times) <= RATE_FEW
        window = worked = until - times[self._head_start() if few else 0]
        if worked <= 0:
            return None
        if not few:  # of the first few, of which nothing is usual yet, over all the time there was
            window *= RATE_SHARE
            if window > RATE_WINDOW:
                window = RATE_WINDOW
            least = RATE_UPDATES * gap
            if window < least:
                window = min(worked, least)
        before = _interpolate(until - window, times, dones)
        if not few and window < RATE_ITEMS_WITHIN and done - before < RATE_ITEMS:
            since = _interpolate(done - RATE_ITEMS, dones, times)
            if since < times[1]:
                since = max(since, times[self._head_start()])
            window = min(worked, max(window, min(RATE_ITEMS_WITHIN, times[-1] - since)))
            before = _interpolate(until - window, times, dones)
        rate = (done - before) / window
        return rate if 0 <= rate < inf else 0.0 if rate < 0 else None

    def _forecast(self, at: float, done: float, total: float) -> _Fit | None:
        if self._usual is None and self._shapes:
            self._usual = usual_of(self._shapes)
        usual, initial = self._usual, self._initial
        if done <= initial:
            seconds = 0.0 if usual is None or total <= 0 else usual.left(done, total)
            return _Fit(at, total, usual, seconds, min(LONGEST, seconds), *BEFORE_PROGRESS) if seconds > 0 else None
        times, dones = self._times, self._dones
        updates = len(times) - 1
        parts = max(LEAST_PARTS, min(updates, PARTS if usual is None else USUAL_PARTS))  # finer there is nothing to see
        head = self._head_start()
        by_items = Parts(self._parted(parts, head), parts * (total - done) / (done - dones[head]))
        by_usual, pace, shape = None, 1.0, None
        if usual is not None:
            first, here = usual.at(initial / total), usual.at(done / total)
            part, ahead = (here - first) / parts, usual.ends[-1] - here
            if part > 0 and ahead > 0:
                by_usual = Parts(self._parted_by(usual, total, parts, first, part), ahead / part)
                pace, shape = part * total / usual.items, usual
        found = forecast(by_items, updates, by_usual, pace)
        work = total - done if shape is None else shape.left(done, total)
        return _Fit(at, total, shape, work, *found) if isfinite(found.seconds) and 0 < work < inf else None

    def _parted(self, parts: int, head: int = 0) -> list[float]:
        """Seconds from the point `head` at which each of so many equal parts of what was done since was."""
        first, last = self._dones[head], self._dones[-1]
        step = (last - first) / parts
        return self._reached([first + step * number for number in range(1, parts)], head)

    def _parted_by(self, usual: Shape, total: float, parts: int, first: float, part: float) -> list[float]:
        """The same for parts that took an earlier run `part` seconds each, from `first` on."""
        return self._reached([total * share for share in usual.shares([first + part * number for number in range(1, parts)])])

    def _reached(self, marks: Sequence[float], head: int = 0) -> list[float]:
        """Seconds from the point `head`: 0, then those at which each of the `marks` was reached, ascending, then now."""
        times, dones = self._times.tolist(), self._dones.tolist()
        start, last, k = times[head], len(dones) - 1, head + 1
        found = [0.0]
        for x in marks:
            k = bisect_left(dones, x, k, last)
            t, x0 = times[k - 1], dones[k - 1]
            found.append(t + (times[k] - t) * ((x - x0) / (dones[k] - x0)) - start)
        found.append(times[-1] - start)
        return found

    def _head_start(self) -> int:
        """The point from which the pace of this run counts: 1 if the first update told what was there before it, else 0."""
        times, dones = self._times, self._dones
        if len(times) < 4 or dones[-1] <= dones[1]:
            return 0
        step = dones[1] - dones[0]
        if step * (times[-1] - times[1]) < HEAD_START * (dones[-1] - dones[1]) * (times[1] - times[0]):
            return 0
        return 1 if step >= HEAD_START * max(b - a for a, b in pairwise(dones[1:])) else 0

    def _append(self, t: float, done: float) -> None:
        times, dones = self._times, self._dones
        times.append(t)
        dones.append(done)
        if len(times) > POINTS:
            del times[1:-1:2]
            del dones[1:-1:2]
            self._spacing = (t - times[0]) * 2 / POINTS
            self._one_within = max(FIRST_SPACING, min(ONE_AT_MOST, ONE_WITHIN * self._spacing))
        self._next = t + self._spacing

    def _unusual(self, t: float, done: float) -> None:
        back = self._times[-1] - t
        if back > CLOCK_STEP:
            self._shift(-back)
        t = max(t, self._times[-1])
        if done > self._dones[-1]:
            if t < self._next:
                self._times[-1], self._dones[-1] = t, done
            else:
                self._append(t, done)
        elif done < self._initial or (done - self._initial) < (self._dones[-1] - self._initial) / 2:
            self._begin(t, done)
            self._restarted = True
        else:
            while len(self._dones) > 1 and self._dones[-1] >= done:
                self._dones.pop()
                self._times.pop()
            self._fit = None
            self._append(t, done)

    def _shift(self, seconds: float) -> None:
        """Moves everything so far in time; the figures after it stay the same."""
        self._times = array("d", (t + seconds for t in self._times))
        self._next += seconds
        self._heard_at += seconds
        if self._fit is not None:
            self._fit = self._fit._replace(at=self._fit.at + seconds)


# The total that was asked for, the rate while no update is late, then of the time left: seconds (None: unknown), the ends of its
# range, and how long it runs down while nothing arrives. All as at the last update.
_Known: TypeAlias = tuple[float | None, float | None, float | None, float, float, float]


def _interpolate(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """y at `x` on the line through the points; `xs` ascending. Beyond the ends: the end."""
    k = bisect_left(xs, x)
    if k == 0:
        return ys[0]
    if k == len(xs):
        return ys[-1]
    x0, y0 = xs[k - 1], ys[k - 1]
    return y0 + (ys[k] - y0) * ((x - x0) / (xs[k] - x0))
