"""From a request to a record: pure functions that make the new record of a creation or an update."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar, cast

from msgspec import UNSET, UnsetType, structs

from headway.errors import InvalidInput
from headway.masking import mask_command
from headway.model import (
    Activity,
    Cancelled,
    Done,
    Failed,
    Killed,
    OSProcess,
    Process,
    Queued,
    Running,
    Spec,
    State,
    Status,
    Stopping,
    Thresholds,
    TimedOut,
    Waiting,
)
from headway.registry.lifecycle import advance
from headway.registry.outcome import Ignored
from headway.registry.told import further
from headway.schemas.decoding import check_metadata, seconds
from headway.schemas.fields import WAITING_LENGTH
from headway.schemas.reports import CreateIn, ProgressIn, ProgressUpdate, ThresholdsIn, UpdateIn

T = TypeVar("T")

SECONDS_PER_MINUTE = 60.0

# The cause of a transition that its reporter told of.
REPORTED: Final = "reported"

# The fields of an update that say which OS process the work is.
WORK: Final = ("pid", "create_time", "pid_namespace")

# Ended for good; an orphaned one may come back.
FINAL: Final = frozenset({Done, Failed, Cancelled, Killed, TimedOut})


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Which host and pid namespace this exporter watches; `identify` says which OS process has a pid now."""

    name: str
    pid_namespace: int | None
    identify: Callable[[int], OSProcess | None] = lambda pid: None


def new_process(process_id: str, form: CreateIn, *, now: float, host: HostFacts, metadata_limit: int) -> Process:
    """The record of a creation received at `now`. Raises InvalidInput or TooLarge naming the field."""
    if form.parent_id == process_id:
        raise InvalidInput("parent_id: a process cannot be its own parent", field="parent_id")
    metadata = {} if form.metadata is UNSET else merged({}, form.metadata)
    check_metadata(metadata, metadata_limit)
    started_at = now - form.started_age
    spec = Spec(
        name=form.name,
        kind=form.type,
        created_at=started_at,
        user=form.user,
        project=form.project,
        task=form.task,
        attempt=form.attempt,
        agent=form.agent,
        group=form.group,
        parent_id=form.parent_id,
        host=form.host or host.name,
        os_process=new_os_process(form.pid, form.create_time, form.pid_namespace, form.host, host),
        command=None if form.command is None else mask_command(form.command),
        description=form.description,
        cwd=form.cwd,
        executor=form.executor,
        cancellable=form.cancellable,
        expected_duration=optional_seconds(form.expected_duration, "expected_duration"),
        timeout=optional_seconds(form.timeout, "timeout"),
        lease=optional_seconds(form.lease, "lease"),
        thresholds=new_thresholds(Thresholds(), form.thresholds),
    )
    progress = ProgressIn() if form.progress is UNSET else form.progress
    current, initial = known(progress.current), known(progress.initial)
    if progress.initial is UNSET and form.started_age == 0:
        initial = current or None  # in no time nothing can be done: it was there before
    activity = Activity(
        updated_at=now,
        current=current,
        initial=initial,
        total=known(progress.total),
        unit=known(progress.unit),
        stage=form.stage,
        rate=None if form.rate is None else form.rate / SECONDS_PER_MINUTE,
        ends_at=None if form.eta_seconds is None else now + form.eta_seconds,
        last_progress_at=now if form.started_age > 0 and (current or 0) > (initial or 0) else None,
    )
    state: State = Queued() if form.status == "queued" else Running(started_at)
    return Process(id=process_id, spec=spec, state=state, activity=activity, metadata=metadata)


def new_os_process(
    pid: int | None, create_time: float | None, pid_namespace: int | None, host_name: str | None, host: HostFacts
) -> OSProcess | None:
    """The OS process that a reporter names. A pid of this host that came without its create time is looked up: without it, the pid
    would mean somebody else's process one day."""
    if pid is None:
        return None
    here = host_name in (None, host.name) and pid_namespace in (None, host.pid_namespace)
    if create_time is None and here and (found := host.identify(pid)) is not None:
        return found
    return OSProcess(pid, create_time, pid_namespace)


def new_work(process: Process, form: UpdateIn, host: HostFacts) -> OSProcess | None:
    """The OS process that an update names; None: it names none. Raises InvalidInput where it cannot: only of one that waited it is
    not known from the creation on."""
    named = next((field for field in WORK if getattr(form, field) is not UNSET), None)
    if named is None:
        return None
    if process.status is not Status.QUEUED or form.status is not Status.RUNNING:
        fix = "send it together with the status running, when the queued process begins"
        if process.status is not Status.QUEUED:
            fix = f"it can be given in the creation, or when a queued process begins; this one is {process.status}: leave it away"
        raise InvalidInput(f"{named}: {fix}", field=named)
    if (pid := known(form.pid)) is None:
        raise InvalidInput(f"{named}: belongs to a pid; send both, or leave it away", field=named)
    return new_os_process(pid, known(form.create_time), known(form.pid_namespace), process.spec.host, host)


def pid_missing(process: Process, host: HostFacts) -> bool:
    """Whether the pid that was named is of this host and no OS process had it: else its create time was found out, or given."""
    root = process.spec.os_process
    if root is None or root.create_time is not None or process.spec.host != host.name:
        return False
    return root.pid_namespace in (None, host.pid_namespace)


def visible(process: Process, host: HostFacts) -> OSProcess | None:
    """The OS process of a record, if its pid means something on this host; else its reporter has to be heard of."""
    root = process.spec.os_process
    if root is None or process.spec.host != host.name or root.create_time is None:
        return None
    if root.pid_namespace is not None and host.pid_namespace is not None and root.pid_namespace != host.pid_namespace:
        return None
    return root


def same_creation(process: Process, form: CreateIn) -> bool:
    """Whether a repeated creation means this process: the facts that never change agree."""
    spec = process.spec
    return spec.name == form.name and spec.kind == form.type and (form.parent_id is None or spec.parent_id == form.parent_id)


def advanced(process: Process, form: ProgressUpdate, at: float, now: float) -> tuple[Process, bool]:
    """:func:`updated` of an active process, by an update that says only how much is done."""
    old, current = process.activity, form.progress.current
    last_progress_at, progressed = old.last_progress_at, current != old.current
    if progressed and (last_progress_at is None or last_progress_at < at or last_progress_at > now):
        last_progress_at = at
    return further(process, now, current, last_progress_at, old.seq if form.seq is UNSET else form.seq), progressed


def updated(
    process: Process, form: UpdateIn, at: float, now: float, last_line: str | None, metadata_limit: int, host: HostFacts
) -> tuple[Process, bool]:
    """The record after an update that happened at `at` and arrived at `now`, and whether work was seen to advance; `last_line` is
    the last of its log lines.

    Raises Conflict for an illegal transition, InvalidInput or TooLarge naming the field; the record is unchanged then.
    """
    if type(process.state) in FINAL:
        form = after_the_end(process, form, at)
    # Written out rather than with replace(), fields by place, no call where there is nothing to do: this runs for most updates.
    old, progress = process.activity, form.progress
    current, total, unit, initial = old.current, old.total, old.unit, old.initial
    if progress is not UNSET:
        if progress.current is not UNSET:
            current = progress.current
        if progress.total is not UNSET:
            total = progress.total
        if progress.unit is not UNSET:
            unit = progress.unit
        if progress.initial is not UNSET:
            initial = progress.initial
    stage = old.stage if form.stage is UNSET else form.stage
    progressed = current != old.current or (stage != old.stage and stage is not None)
    last_progress_at = old.last_progress_at
    # A time in the future was before the clock was set back.
    if progressed and (last_progress_at is None or last_progress_at < at or last_progress_at > now):
        last_progress_at = at
    rate, ends_at = old.rate, old.ends_at
    if form.rate is not UNSET:
        rate = None if form.rate is None else form.rate / SECONDS_PER_MINUTE
    if form.eta_seconds is not UNSET:
        ends_at = None if form.eta_seconds is None else at + form.eta_seconds
    activity = Activity(
        now if not form.alive or changes_anything(form) else old.updated_at,
        current,
        initial,
        total,
        unit,
        stage,
        old.summary if form.summary is UNSET else form.summary,
        rate,
        ends_at,
        latest(old.last_output_at, at, now) if last_line is not None or form.output is True else old.last_output_at,
        last_progress_at,
        old.last_line if last_line is None else last_line,
        old.seq if form.seq is UNSET else form.seq,
        old.waiting if form.waiting_for is UNSET and form.waited_for is UNSET else new_waiting(old.waiting, form, at),
    )
    metadata, dismissed = process.metadata, process.dismissed_at
    if form.metadata is not UNSET:
        metadata = merged(metadata, form.metadata)
        check_metadata(metadata, metadata_limit)
    spec, state, usage = process.spec, process.state, process.usage
    if not (form.expected_duration is UNSET and form.timeout is UNSET and form.thresholds is UNSET):
        spec = new_spec(spec, form)
    if about_state(form):
        state = new_state(process, form, at)
        if (work := new_work(process, form, host)) is not None:
            spec, usage = replace(spec, os_process=work), None  # what was used until now was used by who waited
        if state.status.active:
            dismissed = None
        if process.started_at is None and getattr(state, "started_at", None) is not None:
            # What was told while it waited was there before, and no sign of work.
            given = progress is not UNSET and progress.initial is not UNSET
            activity = replace(
                activity,
                initial=activity.initial if given else old.current or None,
                last_progress_at=activity.last_progress_at if progressed else None,
            )
    return Process(process.id, spec, state, activity, metadata, process.cancel_requested_at, dismissed, usage), progressed


def new_waiting(old: Waiting | None, form: UpdateIn, at: float) -> Waiting | None:
    """What becomes of waiting for a person by an update that says something of it and happened at `at`."""
    now = old if old is not None and old.until is None else None
    if form.waiting_for is not UNSET and form.waiting_for is not None:
        return Waiting(waiting_text(form.waiting_for), at if now is None else now.since)
    if now is None or not (form.waiting_for is None or now.what == waiting_text(known(form.waited_for) or "")):
        return old
    return replace(now, until=max(at, now.since))


def waiting_text(said: str) -> str:
    """On one line, without secrets, not longer than what is taken."""
    line = " ".join(mask_command(said).split())
    return line if len(line) <= WAITING_LENGTH else f"{line[: WAITING_LENGTH - 1]}…"


def after_the_end(process: Process, form: UpdateIn, at: float) -> UpdateIn:
    """What an update still says of a process that has ended for good: the first final word counts, so that later ones only add what
    it left open. Work that was done before the end may be told late; lines and metadata may come at any time. Nothing is refused:
    a repeated or spooled final word is normal."""
    void = settled(process, form, at)
    return structs.replace(form, **dict.fromkeys(void, UNSET)) if void else form


def settled(process: Process, form: UpdateIn, at: float) -> list[str]:
    """The fields of an update, which happened at `at`, that can change nothing any more, as the process has ended for good."""
    void = [name for name, value in final_words(process).items() if value is not None]
    void.append("used")  # it was counted, or is not any more
    finished_at = process.finished_at
    if finished_at is not None and at > finished_at:
        void += ("progress", "stage", "rate", "eta_seconds", "waiting_for", "waited_for")
    return [name for name in void if getattr(form, name) is not UNSET]


def final_words(process: Process) -> dict[str, object]:
    found = {name: getattr(process.state, name, None) for name in ("exit_code", "signal", "error")}
    return {**found, "summary": process.activity.summary}


def ignored_after_the_end(process: Process, form: UpdateIn, at: float) -> Ignored | None:
    """What of an update is not taken, as the process has ended for good; to repeat a final word is nothing to speak of."""
    words = final_words(process)
    fields = tuple(name for name in settled(process, form, at) if name not in words or getattr(form, name) != words[name])
    reason = f"it has ended, it is {process.status}: what it did and said at its end is settled; log and metadata are still taken"
    return Ignored(fields, reason) if fields else None


def ignored_repeat(process: Process, form: UpdateIn | ProgressUpdate) -> Ignored | None:
    """All that an update says whose `seq` is not newer than what was taken."""
    fields = tuple(said(whole(form)))
    latest = process.activity.seq
    reason = f"seq {form.seq} was taken before" if form.seq == latest else f"seq {form.seq} is older than {latest}, which was taken"
    return Ignored(fields, reason) if fields else None


def whole(form: UpdateIn | ProgressUpdate) -> UpdateIn:
    """An update in the form that has all fields."""
    return form if isinstance(form, UpdateIn) else form.whole()


def about_state(form: UpdateIn) -> bool:
    """Whether an update says something of the status, or what only a beginning or an end has."""
    quiet = form.status is UNSET and form.exit_code is UNSET and form.signal is UNSET and form.error is UNSET
    return not (quiet and form.pid is UNSET and form.create_time is UNSET and form.pid_namespace is UNSET and form.used is UNSET)


def at_work(form: UpdateIn) -> bool:
    """Whether an update shows that whoever reports is alive: what it was called or belongs to, anybody may add."""
    said = (form.progress, form.stage, form.log, form.rate, form.eta_seconds, form.waiting_for, form.waited_for)
    return form.alive or form.output is True or any(one is not UNSET for one in said)


def changes_anything(form: UpdateIn) -> bool:
    """Whether an update says more than «still alive»."""
    return any(True for _ in said(form))


def said(form: UpdateIn) -> Iterator[str]:
    """The fields that an update gives, but for those of any report."""
    for name in form.__struct_fields__:
        if name not in ("alive", "seq", "age", "id", "create") and getattr(form, name) is not UNSET:
            yield name


def without_standstill(form: UpdateIn) -> UpdateIn:
    """What an update says of a process that is being ended from here: that it stands still, or goes on, is part of that. Who does
    not hear the polite signal is stopped before SIGKILL, and one that is paused goes on to hear it."""
    if form.status is UNSET or form.status not in (Status.PAUSED, Status.RUNNING):
        return form
    return structs.replace(form, status=UNSET)


def new_state(process: Process, form: UpdateIn, at: float) -> State:
    state = process.state
    exit_code = None if form.exit_code is UNSET else form.exit_code
    signal = None if form.signal is UNSET else form.signal
    error = None if form.error is UNSET else form.error
    to = process.status if form.status is UNSET else form.status
    if form.used is not UNSET and not (to.ended and state.status is not to):
        raise InvalidInput("used: belongs to the end; send it together with the final status", field="used")
    if (
        (exit_code is not None or signal is not None)
        and isinstance(state, Stopping)
        and process.cancel_requested_at is not None
        and at >= state.stopping_at
    ):
        # Whoever tells an exit code or a signal tells of an end that it saw: that of what was being ended. The word of the work
        # itself stands.
        to = Status.KILLED if to in (Status.DONE, Status.FAILED, Status.CANCELLED) else to
    if to is not process.status:
        requested = to is not Status.CANCELLED and process.cancel_requested_at is not None
        state = advance(process, to, at=at, exit_code=exit_code, signal=signal, error=error, requested=requested)
    if exit_code is None and signal is None and error is None:
        return state
    given = {"exit_code": exit_code, "signal": signal, "error": error}
    known: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    for field in known:
        if not hasattr(state, field):
            fix = "of an orphaned one nobody knows it" if to is Status.ORPHANED else "send it together with the final status"
            raise InvalidInput(f"{field}: belongs to an ended process; {fix}", field=field)
    return state if to is not process.status else cast(State, replace(cast(Any, state), **known))


def new_spec(spec: Spec, form: UpdateIn) -> Spec:
    return replace(
        spec,
        expected_duration=spec.expected_duration
        if form.expected_duration is UNSET
        else optional_seconds(form.expected_duration, "expected_duration"),
        timeout=spec.timeout if form.timeout is UNSET else optional_seconds(form.timeout, "timeout"),
        thresholds=new_thresholds(spec.thresholds, form.thresholds),
    )


def new_thresholds(old: Thresholds, form: ThresholdsIn | UnsetType) -> Thresholds:
    if form is UNSET:
        return old
    after: dict[str, float | None] = {
        field: getattr(old, field) if said is UNSET else optional_seconds(said, f"thresholds.{field}")
        for field, said in (
            ("stuck_after", form.stuck_after),
            ("time_sink_after", form.time_sink_after),
            ("waiting_after", form.waiting_after),
        )
    }
    return Thresholds(
        **after,
        time_sink_ratio=old.time_sink_ratio if form.time_sink_ratio is UNSET else form.time_sink_ratio,
        cpu_ratio=old.cpu_ratio if form.cpu_ratio is UNSET else form.cpu_ratio,
        memory_ratio=old.memory_ratio if form.memory_ratio is UNSET else form.memory_ratio,
    )


def known(value: T | UnsetType) -> T | None:
    """What is not said is not known."""
    return None if value is UNSET else value


def merged(old: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """JSON merge patch (RFC 7396): objects merge, null removes, everything else replaces."""
    result = dict(old)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, dict) else {}, value)
        else:
            result[key] = value
    return result


def optional_seconds(value: float | str | None, field: str) -> float | None:
    return None if value is None else seconds(value, field)


def latest(old: float | None, new: float, now: float) -> float:
    """The later one; what lies in the future was before the clock was set back."""
    return new if old is None or old > now else max(old, new)
