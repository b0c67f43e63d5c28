"""What an update makes of a record: nothing that was sent is dropped without a word."""

from __future__ import annotations

from typing import Any

import pytest

from headway.errors import InvalidInput
from headway.model import TRANSITIONS, OSProcess, Process, Status
from headway.registry.changes import HostFacts, new_process, updated
from headway.schemas.decoding import decode
from headway.schemas.reports import CreateIn, UpdateIn

START = 1_800_000_000.0
LATER = START + 60
HOST = HostFacts("here", None)
# A value of each field, none of which is what a record has without it.
FIELDS: dict[str, Any] = {
    **{"progress": b'{"current":7,"total":9,"unit":"rows","initial":1}', "stage": b'"load"', "summary": b'"412 nodes"'},
    **{
        "error": b'"no space"',
        "exit_code": b"3",
        "signal": b"9",
        "metadata": b'{"tokens":5}',
        "rate": b"120",
        "eta_seconds": b"30",
    },
    **{"pid": b"77", "create_time": b"1799999990", "pid_namespace": b"5"},
    **{"expected_duration": b'"5m"', "timeout": b"3600", "thresholds": b'{"stuck_after":90}', "output": b"true", "seq": b"8"},
    "waiting_for": b'"an answer"',
}
# Lines are no part of the record; «alive» and how long ago it was say nothing by themselves, nor does what was waited for where
# nothing was. What was used is counted with the end (tests/test_used.py).
ELSEWHERE = {"status", "log", "alive", "age", "waited_for", "used"}
ENDINGS = {"error", "exit_code", "signal"}
BEGINNINGS = {"pid", "create_time", "pid_namespace"}
# The status before, and the one that is sent with the field; None: the field alone.
WAYS = [
    *((before, after) for before in Status for after in sorted(TRANSITIONS[before])),
    *((status, None) for status in Status),
    *((status, status) for status in Status),
]


def at(status: Status) -> Process:
    process = new_process("a", CreateIn(name="a", type="task"), now=START, host=HOST, metadata_limit=9999)  # type: ignore[arg-type]
    if status is Status.QUEUED:
        return new_process("a", CreateIn(name="a", type="task", status="queued"), now=START, host=HOST, metadata_limit=9999)  # type: ignore[arg-type]
    if status is Status.STARTING:
        process = at(Status.QUEUED)
    return process if status is Status.RUNNING else sent(process, [b'"status":"%s"' % status.encode()], START + 30)


def sent(process: Process, parts: list[bytes], now: float = LATER) -> Process:
    form = decode(b"{%s}" % b",".join(parts), UpdateIn)
    return updated(process, form, now - form.age, now, None, 9999, HOST)[0]


def test_every_field_of_an_update_is_looked_at() -> None:
    assert FIELDS.keys() | ELSEWHERE == set(UpdateIn.__struct_fields__)


@pytest.mark.parametrize(("before", "after"), WAYS)
def test_what_is_sent_is_kept_or_refused_by_its_name(before: Status, after: Status | None) -> None:
    status = [] if after is None else [b'"status":"%s"' % after.encode()]
    process, kept = at(before), set()
    without = sent(process, status)
    for field, value in FIELDS.items():
        try:
            found = sent(process, [*status, b'"%s":%s' % (field.encode(), value)])
        except InvalidInput as refused:
            assert refused.field == field and field in refused.detail
        else:
            kept.add(field)
            final = before.ended and before is not Status.ORPHANED
            work = final and field in {
                "progress",
                "stage",
                "rate",
                "eta_seconds",
                "waiting_for",
            }  # of after the end: a repeated last word is normal
            assert (found == without) is work, field
    end = before if after is None else after
    refused_here = ENDINGS if end.active else {"exit_code", "signal"} if end is Status.ORPHANED else set()
    # By themselves the other two mean nothing.
    refused_here = refused_here | (BEGINNINGS - {"pid"} if (before, after) == (Status.QUEUED, Status.RUNNING) else BEGINNINGS)
    assert kept == FIELDS.keys() - refused_here


def test_the_words_of_a_refusal() -> None:
    with pytest.raises(InvalidInput, match=r"^error: belongs to an ended process; send it together with the final status$"):
        sent(at(Status.RUNNING), [b'"status":"paused","error":"no space"'])
    with pytest.raises(InvalidInput, match=r"^exit_code: belongs to an ended process; of an orphaned one nobody knows it$"):
        sent(at(Status.RUNNING), [b'"status":"orphaned","exit_code":3'])
    assert sent(at(Status.RUNNING), [b'"status":"paused","error":null']).status is Status.PAUSED


def test_what_begins_may_be_another_os_process_than_what_waited() -> None:
    queued = at(Status.QUEUED)
    here = HostFacts("here", 5, lambda pid: OSProcess(pid, START - 9, 5))
    begins = b'{"status":"running","pid":77%s}'
    for rest, found in ((b"", here.identify(77)), (b',"create_time":3,"pid_namespace":6', OSProcess(77, 3.0, 6))):
        form = decode(begins % rest, UpdateIn)
        assert updated(queued, form, LATER, LATER, None, 9999, here)[0].spec.os_process == found


def test_what_was_told_while_it_waited_is_no_sign_of_work() -> None:
    waiting = sent(at(Status.QUEUED), [b'"stage":"waits for 2"'], START + 10)
    begun = sent(waiting, [b'"status":"running"'])
    assert (begun.activity.stage, begun.activity.last_progress_at) == ("waits for 2", None)
    assert sent(begun, [b'"stage":null'], LATER + 1).activity.last_progress_at is None
    assert sent(begun, [b'"stage":"load"'], LATER + 1).activity.last_progress_at == LATER + 1
    assert sent(waiting, [b'"status":"running","stage":"load"']).activity.last_progress_at == LATER
