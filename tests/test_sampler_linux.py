"""The fast way through /proc: exact figures of a folder that looks like it, few open files, refusals, processes that go away."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from headway.model import OSProcess
from headway.sampler.host import Host, Io
from headway.sampler.linux_host import REFRESH_PASSES, LinuxHost
from headway.sampler.proportional_memory import EVERY
from headway.sampler.psutil_host import PsutilHost
from headway.sampler.tree_sampler import TreeSampler
from headway.samples import Sample
from waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
BOOT = 1000.0


class FakeProc:
    """A folder that looks like /proc."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.write("meminfo", "MemTotal:       1000000 kB\nMemFree: 1 kB\n")

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)

    def put(
        self,
        pid: int,
        *,
        ppid: int = 1,
        started: int = 100,
        state: str = "S",
        ticks: int = 0,
        reaped: int = 0,
        pages: int = 10,
        waits: tuple[float, ...] = (0.0,),
        ran: float = 1.0,
        moved: tuple[int, int] = (0, 0),
        stored: tuple[int, int] = (0, 0),
        fds: int = 3,
        majors: tuple[int, int] = (0, 0),
    ) -> None:
        threads = len(waits)
        faults = 100 + ticks
        fields = f"{ppid} {pid} {pid} 0 -1 0 {faults} {reaped} {majors[0]} {majors[1]} {ticks} 0 {reaped} 0 20 0 {threads} 0 "
        fields += f"{started} 4096 {pages} 1"
        self.write(f"{pid}/stat", f"{pid} (sh) {state} {fields}\n")
        self.write(
            f"{pid}/io",
            f"rchar: {moved[0]}\nwchar: {moved[1]}\nsyscr: 1\nsyscw: 1\nread_bytes: {stored[0]}\nwrite_bytes: {stored[1]}\n"
            "cancelled_write_bytes: 0\n",
        )
        for number, wait in enumerate(waits):
            self.write(f"{pid}/task/{pid + number}/schedstat", f"{round(ran * 1e9)} {round(wait * 1e9)} 7\n")
        for task in (self.path / f"{pid}/task").iterdir():
            if not pid <= int(task.name) < pid + threads:
                (task / "schedstat").unlink()
                task.rmdir()
        for number in range(fds):
            self.write(f"{pid}/fd/{number}", "")

    def remove(self, pid: int) -> None:
        subprocess.run(["rm", "-r", str(self.path / str(pid))], check=True)


@pytest.fixture
def proc(tmp_path: Path) -> FakeProc:
    return FakeProc(tmp_path / "proc")


class Time:
    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


def sampler_of(host: LinuxHost, time: Time | None = None) -> TreeSampler:
    clock = time or Time()
    return TreeSampler(host, clock=clock, monotonic=clock)


def host_of(proc: FakeProc, max_files: int | None = None) -> LinuxHost:
    return LinuxHost(proc.path, proc.path.parent / "no cgroups", boot_time=lambda: BOOT, max_files=max_files)


ROOT = OSProcess(40, BOOT + 1.0)
needs_100_hz = pytest.mark.skipif(os.sysconf("SC_CLK_TCK") != 100 or os.sysconf("SC_PAGE_SIZE") != 4096, reason="100 Hz, 4 KiB")


# ── exact figures ───────────────────────────────────────────────────────────────────────────────────────────────────


@needs_100_hz
@pytest.mark.parametrize("max_files", [None, 0, 1, 2, 5, 7])
def test_a_tree_and_its_figures(proc: FakeProc, max_files: int | None) -> None:
    """The same with all files kept, with none, and with a few."""
    proc.put(40, ticks=250, reaped=50, pages=100, waits=(0.5,), moved=(1000, 200), stored=(4096, 8192), majors=(30, 5))
    proc.put(50, ppid=40, started=200, ticks=100, pages=200, waits=(1.0, 0.25, 0.125), moved=(10, 20), stored=(100, 0), fds=5)
    proc.put(60, ppid=50, started=300, state="Z", ticks=10, pages=0, stored=(7, 0), fds=0, majors=(2, 0))
    proc.put(70, ppid=1, started=300, ticks=9999)
    time, host = Time(), host_of(proc, max_files)
    sampler = sampler_of(host, time)
    assert sampler.sample({"p": ROOT})["p"] == Sample(
        at=5000.0,
        alive=True,
        state="sleeping",
        cpu_seconds=2.5 + 0.5 + 1.0 + 0.1,
        cpu_wait_seconds=1.875,
        resident_bytes=300 * 4096,
        memory_ratio=300 * 4096 / 1_024_000_000,
        io_read_bytes=4096 + 100 + 7,
        io_written_bytes=8192,
        threads=4,
        open_fds=8,
        os_processes=3,
        major_faults=30 + 5 + 2,
    )
    time.now += 4
    proc.remove(60)  # its parent waited for it: faults and ticks are handed on
    proc.put(
        50,
        ppid=40,
        started=200,
        ticks=300,
        reaped=110,
        waits=(1.5, 0.25),
        ran=2,
        pages=50,
        moved=(10, 5020),
        stored=(107, 50),
        majors=(4, 2),
    )
    sample = sampler.sample({"p": ROOT})["p"]
    assert sample == Sample(
        at=5004.0,
        alive=True,
        state="sleeping",
        cpu_seconds=3.0 + 3.0 + 1.1,
        cpu_ratio=(7.1 - 4.1) / 4,
        cpu_wait_seconds=0.5 + 1.5 + 0.25 + 0.125,
        resident_bytes=150 * 4096,
        memory_ratio=150 * 4096 / 1_024_000_000,
        io_read_bytes=4096 + 107,
        io_written_bytes=8192 + 50,
        threads=3,
        open_fds=8,
        os_processes=2,
        major_faults=30 + 5 + 4 + 2,
    )
    assert host.kept_files <= (100 if max_files is None else max_files)
    assert sampler.errors_total == 0


def test_a_pass_gives_way_between_two_processes(proc: FakeProc) -> None:
    proc.put(40)
    given: list[int] = []
    sampler = TreeSampler(host_of(proc), clock=Time(), monotonic=Time(), giving=lambda: lambda: given.append(1))
    assert len(sampler.sample({"a": ROOT, "b": ROOT, "c": ROOT})) == 3 == len(given)


@pytest.mark.parametrize(("letter", "word"), [("R", "running"), ("D", "disk-sleep"), ("T", "stopped"), ("I", "idle"), ("?", None)])
def test_state(proc: FakeProc, letter: str, word: str | None) -> None:
    proc.put(40, state=letter)
    assert sampler_of(host_of(proc)).sample({"p": ROOT})["p"].state == word


@pytest.mark.parametrize("max_files", [None, 0])
def test_threads_come_and_go(proc: FakeProc, max_files: int | None) -> None:
    """As many threads as before need not be the same ones."""
    proc.put(40, waits=(1.0, 2.0))
    host = host_of(proc, max_files)
    assert host.rows().keys() == {40} and host.waits(40, 2) == {40: 1.0, 41: 2.0}
    (proc.path / "40/task/41").rename(proc.path / "40/task/47")
    proc.write("40/task/47/schedstat", "5 4000000000 1\n")
    if max_files is None:
        proc.write("gone", "")  # the file that was kept is still readable here, as it is not in a real /proc
        proc.put(40, waits=(1.0, 2.0, 3.0))
        (proc.path / "40/task/41/schedstat").unlink()
        (proc.path / "40/task/41").rmdir()
        proc.write("40/task/47/schedstat", "5 4000000000 1\n")
    host.rows()
    waits = host.waits(40, 2 if max_files == 0 else 3)
    assert waits is not None and waits[40] == 1.0 and waits[47] == 4.0 and 41 not in waits


def rollup(rss: int, pss: int) -> str:
    return f"55-7ff ---p 00000000 00:00 0    [rollup]\nRss:    {rss} kB\nPss:   {pss} kB\nPss_Dirty:   1 kB\nShared_Clean: 9 kB\n"


def test_proportional_memory(proc: FakeProc) -> None:
    """Read seldom; what a process has grown by since then is its own."""
    proc.put(40, pages=1000)
    proc.put(50, ppid=40, started=200, pages=500)
    proc.put(60, ppid=50, started=300, state="Z", pages=0)
    proc.write("40/smaps_rollup", rollup(4000, 3000))
    proc.write("50/smaps_rollup", rollup(2000, 500))
    time = Time()
    sampler = TreeSampler(host_of(proc), clock=time, monotonic=time, proportional=True)

    def look() -> Sample:
        sample = sampler.sample({"p": ROOT})["p"]
        assert sample.proportional_bytes is None or sample.memory_ratio == sample.proportional_bytes / 1_024_000_000
        return sample

    assert look().proportional_bytes == 3500 * 1024
    time.now += 2
    proc.put(40, pages=3000, ran=2)
    proc.write("40/smaps_rollup", rollup(12_000, 4000))
    sample = look()
    assert (sample.resident_bytes, sample.proportional_bytes) == (3500 * 4096, 3500 * 1024 + 2000 * 4096)
    time.now += EVERY
    assert look().proportional_bytes == 4500 * 1024
    (proc.path / "50/smaps_rollup").unlink()
    time.now += EVERY
    sample = look()
    assert sample.proportional_bytes is None and sample.memory_ratio == 3500 * 4096 / 1_024_000_000, (
        "by RSS, where not all is known"
    )
    assert sampler.errors_total == 0
    assert sampler_of(host_of(proc)).sample({"p": ROOT})["p"].proportional_bytes is None, "only on request"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone who is refused")
def test_proportional_memory_that_may_not_be_read_is_an_error() -> None:
    with sleepers(1) as (pid,):

        def work() -> object:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            plain, asking = TreeSampler(LinuxHost()), TreeSampler(LinuxHost(), proportional=True)
            samples = [sampler.sample({"p": OSProcess(pid)})["p"] for sampler in (plain, asking)]
            known = [[sample.proportional_bytes, sample.resident_bytes == samples[0].resident_bytes] for sample in samples]
            return [*known, asking.errors_total - plain.errors_total]

        assert in_child(work) == [[None, True], [None, True], 1]


@pytest.mark.parametrize("host", [LinuxHost, PsutilHost])
def test_memory_that_forked_children_share_counts_once(host: Callable[[], Host]) -> None:
    """Three processes with the same 50 MB: resident says 150, proportional 50 and what little each has of its own."""
    source = """
import os, sys, time
block = bytearray(os.urandom(1)) * 50_000_000
for _ in range(2):
    if os.fork() == 0:
        time.sleep(120)
        os._exit(0)
print("ready", flush=True)
time.sleep(120)
"""
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, start_new_session=True) as child:
        try:
            assert child.stdout is not None and child.stdout.readline() == b"ready\n"
            sampler = TreeSampler(host(), proportional=True)
            sample = sampler.sample({"p": OSProcess(child.pid)})["p"]
            assert sample.os_processes == 3 and sample.resident_bytes is not None and sample.proportional_bytes is not None
            assert sample.resident_bytes > 150_000_000 and 50_000_000 < sample.proportional_bytes < 100_000_000
            smaps = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in (child.pid, *children_of(child.pid))]
            exact = sum(int(next(line.split()[1] for line in text.splitlines() if line.startswith("Pss:"))) for text in smaps)
            assert abs(sample.proportional_bytes - exact * 1024) < 1_000_000
        finally:
            os.killpg(child.pid, signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children()]


# ── what is not read again ──────────────────────────────────────────────────────────────────────────────────────────


def test_who_has_not_run_is_not_read_again_but_now_and_then(proc: FakeProc) -> None:
    proc.put(40, pages=10, fds=3)
    host = host_of(proc)

    def look() -> tuple[int | None, int | None]:
        row = host.rows()[40]
        host.waits(40, 1)
        host.io(40)
        return row.resident, host.open_fds(40)

    look()
    assert look() == (10 * 4096, 3)
    proc.put(40, pages=20, fds=4)
    looks = [look() for _ in range(8)]
    assert (10 * 4096, 3) in looks, "nothing of it had run"
    assert looks[-1][0] == 20 * 4096, "after eight passes it is read all the same"
    proc.put(40, pages=30, fds=5, ran=1.5)
    assert look() == (30 * 4096, 5), "it ran"


def test_a_thread_that_begins_just_as_its_process_seems_to_have_but_one_is_seen(proc: FakeProc) -> None:
    """Its process waits for it, so that the first thread does not run any more."""
    proc.put(40, waits=(1.0, 2.0))
    host = host_of(proc)

    def look(meanwhile: Callable[[], None] = lambda: None) -> int | None:
        threads = host.rows()[40].threads
        meanwhile()
        host.waits(40, threads)
        host.io(40)
        host.open_fds(40)
        return threads

    assert [look(), look()] == [2, 2]
    proc.put(40, waits=(1.0,), ran=2)
    assert look(lambda: proc.put(40, waits=(1.0, 0.0), ran=3)) == 1
    assert look() == 2
    host.close()


def test_a_file_that_was_closed_is_not_read_where_no_other_could_be_opened(proc: FakeProc, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its descriptor is somebody else's by then."""
    proc.put(40, waits=(1.0,))
    host = host_of(proc)
    for _ in range(2):
        assert host.rows()[40].threads == 1 and host.waits(40, 1) == {40: 1.0}
    proc.put(40, waits=(1.0, 2.0), ran=2)

    def refuse(path: str) -> int:
        raise OSError(errno.EMFILE, "Too many open files", path)

    with monkeypatch.context() as patch:
        patch.setattr(host._files, "open", refuse)
        with pytest.raises(OSError, match="Too many open files"):
            host.waits(40, 2)
    stranger = os.open(proc.path / "meminfo", os.O_RDONLY)
    assert host.rows()[40].threads == 2 and host.waits(40, 2) == {40: 1.0, 41: 2.0}
    os.close(stranger)
    host.close()


def test_open_files_of_who_runs_all_the_time_are_at_most_four_passes_old() -> None:
    """And as they are once it rests. It opens a file for each line that says so."""
    opens = "kept += [open('/dev/null')] * (line == 'open\\n')"
    command = [sys.executable, "-c", f"import sys; kept = []\nfor line in sys.stdin: {opens}; print(len(kept), flush=True)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as child:
        assert child.stdin is not None and child.stdout is not None
        host = LinuxHost()
        if not host._size_is_count():
            child.kill()
            pytest.skip("they are always counted before Linux 6.2")
        sampler = TreeSampler(host)

        def look(*lines: str) -> int | None:
            for line in lines:
                child.stdin.write(f"{line}\n")  # type: ignore[union-attr]
                child.stdout.readline()  # type: ignore[union-attr]
            return sampler.sample({"p": OSProcess(child.pid)})["p"].open_fds

        for _ in range(8):
            had = look("run")
        assert had is not None
        for more in range(1, 9):
            assert had + more in [look("open"), *(look("run") for _ in range(3))]
        for more in range(9, 17):
            for _ in range(6):  # nine passes in all: each time it is another one of four
                look("run")
            look("open")
            look()  # it may run on for a moment after it has answered
            assert look() == had + more
        child.kill()
        host.close()


def test_a_kernel_that_does_not_say_who_ran_is_always_read(proc: FakeProc) -> None:
    for pages in range(10, 22):
        proc.put(40, pages=pages, ran=0)
        if pages == 10:
            host = host_of(proc)
        assert host.rows()[40].resident == pages * 4096
        host.waits(40, 1)
        host.io(40)
        host.open_fds(40)


def test_lines_of_others_are_remembered_for_a_while(proc: FakeProc) -> None:
    proc.put(40)
    proc.put(77, ppid=1, started=500)
    host = host_of(proc)
    host.rows()
    proc.put(77, ppid=40, started=500)
    seen = [host.rows()[77].ppid for _ in range(REFRESH_PASSES)]
    assert seen[0] == 1 and seen[-1] == 40
    proc.put(77, ppid=1, started=500)
    assert host.row(40) is not None  # somebody new is of interest
    assert host.rows()[77].ppid == 1


def test_a_new_root_has_no_children_that_it_had_once(proc: FakeProc) -> None:
    """The remembered line of a process that was adopted by init meanwhile must not make it a member."""
    proc.put(30)
    proc.put(40)
    proc.put(77, ppid=40, started=500)
    sampler = sampler_of(host_of(proc))
    other = OSProcess(30, BOOT + 1.0)
    sampler.sample({"o": other})
    proc.put(77, ppid=1, started=500)
    assert sampler.sample({"o": other, "p": ROOT})["p"].os_processes == 1


def test_create_times_follow_the_clock_when_it_is_set(proc: FakeProc) -> None:
    booted = [BOOT]
    proc.put(40)
    proc.put(77, started=500)
    host = LinuxHost(proc.path, boot_time=lambda: booted[0])
    host.rows()
    host.io(40)
    host.waits(40, 1)
    booted[0] = 4000.0
    rows = host.rows()
    assert (rows[40].create_time, rows[77].create_time) == (4001.0, 4005.0)


# ── few descriptors ─────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def sleepers(count: int) -> Iterator[list[int]]:
    pids = [os.posix_spawn("/bin/sleep", ["sleep", "600"], os.environ) for _ in range(count)]
    try:
        yield pids
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def in_child(work: Callable[[], object]) -> object:
    """What `work` returns when a forked child does it, as JSON carries it."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(write, 3)
        os.closerange(4, 4096)  # whatever else this test run has open
        try:
            answer = json.dumps(work())
        except BaseException as error:
            answer = json.dumps(f"{type(error).__name__}: {error}")
        os.write(3, answer.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as text:
        answer = text.read()
    os.waitpid(pid, 0)
    return json.loads(answer)


def test_kept_files_are_bounded_and_given_back() -> None:
    with sleepers(20) as pids:
        host = LinuxHost(max_files=30)
        sampler = TreeSampler(host)
        roots = {str(pid): OSProcess(pid) for pid in pids}
        for _ in range(3):
            samples = sampler.sample(roots)
            assert all(sample.open_fds and sample.cpu_wait_seconds is not None for sample in samples.values())
            assert host.kept_files == 30
        sampler.sample({str(pid): roots[str(pid)] for pid in pids[:3]})
        sampler.sample({str(pid): roots[str(pid)] for pid in pids[:3]})
        assert host.kept_files == 12
        sampler.sample({})
        sampler.sample({})
        assert host.kept_files == 0


def test_no_descriptors_left_means_fewer_kept_not_fewer_figures() -> None:
    with sleepers(20) as pids:

        def work() -> object:
            resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
            host = LinuxHost(max_files=10_000)
            sampler = TreeSampler(host)
            for _ in range(3):
                samples = sampler.sample({str(pid): OSProcess(pid) for pid in pids})
            full = all(sample.alive and sample.open_fds and sample.io_read_bytes is not None for sample in samples.values())
            with open("/dev/null"):  # noqa: PTH123  # there is room for others
                return [len(samples), full, host.kept_files <= 12, sampler.errors_total]

        assert in_child(work) == [20, True, True, 0]


def test_half_of_the_descriptors_are_left_to_others() -> None:
    def work() -> object:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        host = LinuxHost()
        TreeSampler(host).sample({str(pid): OSProcess(pid) for pid in pids})
        return host.kept_files

    with sleepers(20) as pids:
        assert in_child(work) == 32


# ── refused, and gone ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone who is refused")
def test_what_another_user_is_refused_is_counted_and_nothing_else_is_missing() -> None:
    with sleepers(1) as (pid,):

        def work() -> object:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            sampler = TreeSampler(LinuxHost())
            first = sampler.sample({"p": OSProcess(pid)})["p"]
            errors = sampler.errors_total
            sampler.sample({"p": OSProcess(pid)})
            return [
                first.alive,
                first.io_read_bytes,
                first.cpu_seconds is not None,
                first.cpu_wait_seconds is not None,
                first.resident_bytes is not None,
                errors,
                sampler.errors_total > errors,
            ]

        answer = in_child(work)
        assert isinstance(answer, list)
        assert answer[:5] == [True, None, True, True, True]
        assert answer[5] in (1, 2) and answer[6], "the I/O figures, and before Linux 6.2 the open files"


@pytest.mark.parametrize("max_files", [None, 0])
def test_who_vanishes_in_the_middle_of_a_pass_is_gone(max_files: int | None) -> None:
    with sleepers(1) as (other,):
        child = subprocess.Popen(["/bin/sleep", "600"])
        host = LinuxHost(max_files=max_files)
        row = host.rows()[child.pid]
        assert host.waits(child.pid, 1) and host.io(child.pid) and host.open_fds(child.pid)
        child.kill()
        child.wait()
        for ask in (lambda: host.waits(child.pid, 1), lambda: host.io(child.pid), lambda: host.open_fds(child.pid)):
            with pytest.raises(ProcessLookupError):
                ask()
        assert host.row(child.pid) is None
        rows = host.rows()
        assert row.pid not in rows and other in rows
        host.rows()
        assert host.kept_files == 0


def test_a_stopped_child_is_stopped() -> None:
    with sleepers(1) as (pid,):
        sampler = TreeSampler(LinuxHost())

        def state() -> str | None:
            return sampler.sample({"p": OSProcess(pid)})["p"].state

        wait_until(lambda: state() == "sleeping", what="asleep")
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: state() == "stopped", what="stopped", timeout=30)
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: state() == "sleeping", what="asleep again", timeout=30)


def test_open_files_by_size_are_those_that_are_listed() -> None:
    # In a child: a thread of this one that waits in accept() has a number reserved for what it will get, which the size counts.
    code = "files = [open('/dev/null') for _ in range(7)]; print('up', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "up\n"
        host = LinuxHost()
        count = host.open_fds(child.pid)
        assert count is not None and count >= 10 and count == psutil.Process(child.pid).num_fds()
        assert isinstance(host.io(child.pid), Io)
        child.kill()
