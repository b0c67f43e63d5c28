"""Who is of one program, of real OS processes: workers that a script forked, and somebody who runs the same beside it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from calling import Api
from gate_cases import process
from headway.masking import mask_command
from headway.model import OSProcess, Process
from headway.sampler.base import identify
from headway.sampler.kinship import PAIRS, Kinship
from running import RunningExporter
from waiting import wait_until

FORKING = """
import os, signal
pids = []
for _ in range(2):
    pid = os.fork()
    if not pid:
        signal.pause()
    pids.append(pid)
print(*pids, flush=True)
signal.pause()
"""


@contextmanager
def forking() -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A script that has forked two workers."""
    command = [sys.executable, "-c", FORKING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as script:
        assert script.stdout is not None
        workers = [int(word) for word in script.stdout.readline().split()]
        try:
            yield script, workers
        finally:
            for pid in (*workers, script.pid):
                subprocess.run(["kill", "-9", str(pid)], check=False)


def record(pid: int, command: str = mask_command(shlex.join([sys.executable, "-c", FORKING]))) -> Process:
    found = identify(pid)
    assert found is not None
    return process(f"p{pid}", os_process=found, command=command)


def test_a_script_and_those_whom_it_forked_are_of_one_program() -> None:
    with forking() as (script, workers), forking() as (other, _):
        kin = Kinship().of_one_program
        main, first, second = record(script.pid), *map(record, workers)
        assert kin(main, first) and kin(second, main), "parent and child"
        assert kin(first, second), "workers whose parent runs the same, though nobody tracks it"
        stranger = record(other.pid)
        assert not kin(main, stranger) and not kin(first, stranger), "one who was started beside it, by the same parent"
        assert not kin(record(script.pid, "x"), record(other.pid, "x"))
        again = OSProcess(script.pid, 1.0)
        assert not kin(process("gone", os_process=again), first), "somebody else had this pid"
        assert not kin(process("elsewhere"), first)
    assert kin(main, first), "what was seen stays known"


def test_so_many_are_looked_at_in_a_second_and_the_rest_is_not_called_a_duplicate() -> None:
    now = [0.0]
    kin = Kinship(monotonic=lambda: now[0]).of_one_program
    pairs = [(process("a", os_process=OSProcess(2**22 - 1, 1.0)), process("b", os_process=OSProcess(n, 1.0))) for n in range(1, 90)]
    assert [kin(*pair) for pair in pairs] == [False] * PAIRS + [True] * (89 - PAIRS)
    now[0] = 1.5
    assert not any(kin(*pair) for pair in pairs)


def test_workers_of_a_pool_are_no_duplicates_of_their_script(exporter: RunningExporter) -> None:
    api = Api(exporter)
    with forking() as (script, workers), forking() as (other, _):
        command = shlex.join([sys.executable, "-c", FORKING])
        for name, pid in (("main", script.pid), ("first", workers[0]), ("second", workers[1]), ("other", other.pid)):
            api.create(id=name, name=name, pid=pid, command=command, cwd="/x")
        wait_until(lambda: api.get("other")["conditions"], 30, "the one that is a duplicate")
        assert [api.get(name)["conditions"] for name in ("main", "first", "second")] == [[], [], []]
