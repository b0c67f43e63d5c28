"""Samples of real process trees, of a simulated kernel at its worst, and of a folder that looks like /proc."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from headway.model import OSProcess
from headway.sampler.base import CREATE_TIME_TOLERANCE, host_here, identify, is_alive, is_same, own_pid_namespace
from headway.sampler.host import BootTime, Host, Io, boot_time
from headway.sampler.linux_host import LinuxHost
from headway.sampler.proportional_memory import EVERY
from headway.sampler.psutil_host import PsutilHost
from headway.sampler.tree_sampler import QUIET_WINDOW, TreeSampler
from headway.samples import Sample
from kernel import Kernel
from sampled import cpu, one
from waiting import wait_until

# ── real children ───────────────────────────────────────────────────────────────────────────────────────────────────

PUPPET = """
import os, signal, subprocess, sys, threading, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
def forked(work, wait=True):
    pid = os.fork()
    if pid == 0:
        try: work()
        finally: os._exit(0)
    if wait: os.waitpid(pid, 0)
    return pid
def twice(work):
    r, w = os.pipe()
    def first():
        pid = os.fork()
        if pid == 0:
            os.setsid()
            try: work()
            finally: os._exit(0)
        os.write(w, str(pid).encode())
    forked(first)
    return int(os.read(r, 20))
print("ok", flush=True)
for line in sys.stdin:
    result = None
    exec(line)
    print("ok", result, flush=True)
"""


class Puppet:
    """A real process that does what it is told, one line of Python at a time."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PUPPET], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.pids: list[int] = []
        assert self.process.stdout is not None and self.process.stdout.readline() == "ok\n"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def os_process(self) -> OSProcess:
        return OSProcess(self.pid, psutil.Process(self.pid).create_time())

    def do(self, line: str) -> str:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().removeprefix("ok ").strip()

    def pid_of(self, line: str) -> int:
        pid = int(self.do(line))
        self.pids.append(pid)
        return pid

    def end(self) -> None:
        for pid in (*self.pids, self.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait(30)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:
                pass


@pytest.fixture
def puppet() -> Iterator[Puppet]:
    made = Puppet()
    yield made
    made.end()


@pytest.fixture(params=[host_here, PsutilHost])
def host(request: pytest.FixtureRequest) -> Host:
    made: Host = request.param()
    return made


def test_a_process_as_it_is(puppet: Puppet, host: Host) -> None:
    puppet.do("block = bytearray(os.urandom(1)) * 60_000_000; files = [open('/dev/null') for _ in range(20)]")
    puppet.do("event = threading.Event(); threads = [threading.Thread(target=event.wait, daemon=True) for _ in range(5)]")
    puppet.do("[thread.start() for thread in threads]")
    puppet.do("burn(0.2)")
    sampler = TreeSampler(host)
    before = time.time()
    sample = one(sampler, puppet.os_process)
    assert sample.alive and before <= sample.at <= time.time()
    assert sample.os_processes == 1 and sample.threads == 6
    assert sample.open_fds is not None and 23 <= sample.open_fds <= 25
    assert sample.resident_bytes is not None and 60e6 < sample.resident_bytes < 120e6
    assert sample.memory_ratio is not None and 0 < sample.memory_ratio < 1
    assert sample.cpu_seconds is not None and 0.18 <= sample.cpu_seconds < 1
    assert sample.cpu_ratio is None and sample.zombie_since is None and sample.quiet_since is None
    assert sampler.errors_total == 0


def test_cpu_ratio_is_that_between_two_samples(puppet: Puppet, host: Host) -> None:
    sampler = TreeSampler(host)
    began = time.monotonic()
    one(sampler, puppet.os_process)
    started = time.monotonic()
    puppet.do("burn(0.4)")
    took = time.monotonic() - started
    sample = one(sampler, puppet.os_process)
    whole = time.monotonic() - began
    assert sample.cpu_ratio is not None and 0.3 / whole < sample.cpu_ratio < 0.6 / took


def test_cpu_of_children_stays_when_they_exit(puppet: Puppet, host: Host) -> None:
    """Seen or not, waited for: each second counts once."""
    sampler, process = TreeSampler(host), puppet.os_process
    seen = [cpu(sampler, process)]
    for _ in range(3):
        puppet.do("forked(lambda: burn(0.1))")  # comes and goes between two samples
        seen.append(cpu(sampler, process))
    puppet.do("r, w = os.pipe(); child = forked(lambda: (burn(0.2), os.read(r, 1), burn(0.1)), wait=False); result = child")
    child = int(puppet.do("result = child"))
    wait_until(lambda: sum(psutil.Process(child).cpu_times()[:2]) >= 0.19, what="child has burned")
    seen.append(cpu(sampler, process))
    assert one(sampler, process).os_processes == 2
    puppet.do("os.write(w, b'x'); os.waitpid(child, 0)")
    seen += [cpu(sampler, process), cpu(sampler, process)]
    assert seen == sorted(seen)
    assert 0.55 <= seen[-1] - seen[0] <= 0.85, seen
    assert one(sampler, process).os_processes == 1


def test_cpu_of_children_that_nobody_waits_for_stays(puppet: Puppet, host: Host) -> None:
    sampler, process = TreeSampler(host), puppet.os_process
    puppet.do("signal.signal(signal.SIGCHLD, signal.SIG_IGN)")
    start = cpu(sampler, process)
    puppet.do("r, w = os.pipe()")
    child = puppet.pid_of("result = forked(lambda: (burn(0.3), os.read(r, 1)), wait=False)")
    wait_until(lambda: sum(psutil.Process(child).cpu_times()[:2]) >= 0.29, what="child has burned")
    busy = cpu(sampler, process)
    puppet.do("os.write(w, b'x')")
    wait_until(lambda: not psutil.pid_exists(child), what="child is gone")
    after = cpu(sampler, process)
    assert start + 0.28 <= busy <= after <= busy + 0.06
    assert one(sampler, process).os_processes == 1


def test_a_double_fork_stays_in_the_tree(puppet: Puppet, host: Host) -> None:
    """Out of its session, adopted by init; seen while its parent lived, or found by nothing but having been seen."""
    sampler, process = TreeSampler(host), puppet.os_process
    puppet.do("r, w = os.pipe(); r2, w2 = os.pipe()")
    middle = puppet.pid_of(
        "result = forked(lambda: (os.setsid(), os.write(w2, str(forked(lambda: (burn(.2), time.sleep(60)), False)).encode()),"
        " os.read(r, 1)), wait=False)"
    )
    leaf = puppet.pid_of("result = os.read(r2, 20).decode()")
    wait_until(lambda: sum(psutil.Process(leaf).cpu_times()[:2]) >= 0.19, what="leaf has burned")
    assert one(sampler, process).os_processes == 3
    before = cpu(sampler, process)
    puppet.do(f"os.write(w, b'x'); os.waitpid({middle}, 0)")
    wait_until(lambda: psutil.Process(leaf).ppid() != middle, what="leaf is adopted")
    sample = one(sampler, process)
    assert sample.os_processes == 2 and sample.cpu_seconds is not None and sample.cpu_seconds >= before
    os.kill(leaf, signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(leaf), what="leaf is gone")
    sample = one(sampler, process)
    assert sample.os_processes == 1 and sample.cpu_seconds is not None and sample.cpu_seconds >= before


@pytest.mark.skipif(sys.platform != "linux", reason="sessions are read from /proc")
def test_a_child_of_the_session_is_found_although_it_was_never_seen(puppet: Puppet) -> None:
    puppet.pid_of("result = twice(lambda: time.sleep(60))")  # leaves the session as well: not ours
    puppet.do("r, w = os.pipe()")
    puppet.pid_of(
        "forked(lambda: os.write(w, str(forked(lambda: time.sleep(60), wait=False)).encode())); result = os.read(r, 20).decode()"
    )
    assert one(TreeSampler(), puppet.os_process).os_processes == 2


def test_a_shell_with_many_short_children(host: Host) -> None:
    """A counter that never falls, whoever comes and goes while it is read."""
    script = "i=0; while [ $i -lt 150 ]; do /bin/true; /bin/true | /bin/cat; i=$((i+1)); done; read x"
    shell = subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE, start_new_session=True)
    try:
        process = OSProcess(shell.pid, psutil.Process(shell.pid).create_time())
        sampler = TreeSampler(host)
        seen: list[float] = []
        deadline = time.monotonic() + 20
        while psutil.Process(shell.pid).status() != psutil.STATUS_SLEEPING or len(seen) < 20:
            seen.append(cpu(sampler, process))
            assert time.monotonic() < deadline
        wait_until(lambda: not psutil.Process(shell.pid).children(), what="the last child is gone")
        seen.append(cpu(sampler, process))
        assert seen == sorted(seen)
        times = psutil.Process(shell.pid).cpu_times()
        assert abs(seen[-1] - sum(times[:4])) <= 0.05, "everyone was waited for: the shell has it all"
    finally:
        assert shell.stdin is not None
        shell.stdin.close()
        shell.wait(30)


def test_what_children_wrote_stays(puppet: Puppet, host: Host, tmp_path: Path) -> None:
    write = f"(lambda f: (f.write(bytes(3_000_000)), f.flush(), os.fsync(f.fileno())))(open({str(tmp_path / 'x')!r}, 'wb'))"
    sampler, process = TreeSampler(host), puppet.os_process
    first = one(sampler, process).io_written_bytes
    assert first is not None
    puppet.do(f"forked(lambda: {write})")
    second = one(sampler, process).io_written_bytes
    puppet.do(write)
    third = one(sampler, process).io_written_bytes
    assert second is not None and third is not None
    if second == first:
        pytest.skip("this file system does not account for writes")
    assert 3_000_000 <= second - first <= 3_300_000 and 3_000_000 <= third - second <= 3_300_000


@pytest.mark.skipif(sys.platform != "linux", reason="page faults are read from /proc")
def test_major_page_faults_of_children_stay(puppet: Puppet, tmp_path: Path) -> None:
    """Of what is read from the disk through a mapping, by itself and by a child that it waits for."""
    file = tmp_path / "x"
    file.write_bytes(os.urandom(1 << 20))
    puppet.do("import mmap, resource")
    puppet.do(f"file = os.open({str(file)!r}, os.O_RDWR)")
    puppet.do("drop = lambda: (os.fsync(file), os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED))")
    puppet.do(
        "mapped = lambda: (lambda m: (m.madvise(mmap.MADV_RANDOM), sum(m[n] for n in range(0, 1 << 20, 4096))))(mmap.mmap(file, 0))"
    )
    faults = "result = sum(resource.getrusage(who).ru_majflt for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))"
    sampler, process = TreeSampler(), puppet.os_process
    seen = []
    for line in ("pass", "drop(); mapped()", "drop(); forked(mapped)"):
        puppet.do(line)
        told = int(puppet.do(faults))
        sample = one(sampler, process)
        assert sample.major_faults is not None
        assert told <= sample.major_faults <= int(puppet.do(faults))
        seen.append(sample.major_faults)
    if seen[1] == seen[0]:
        pytest.skip("this file system keeps what it was asked to drop")
    assert seen[1] - seen[0] >= 200 and seen[2] - seen[1] >= 200


def test_a_zombie_is_alive_and_known_as_one(host: Host) -> None:
    child = subprocess.Popen(["/bin/sh", "-c", "read x"], stdin=subprocess.PIPE)
    assert child.stdin is not None
    process = OSProcess(child.pid, psutil.Process(child.pid).create_time())
    sampler = TreeSampler(host)
    assert one(sampler, process).zombie_since is None
    child.stdin.close()
    wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE, what="zombie")
    first, second = one(sampler, process), one(sampler, process)
    assert first.alive and first.zombie_since == first.at == second.zombie_since
    assert first.resident_bytes == 0 and first.threads == 0 and first.open_fds == 0
    assert is_alive(process, host)
    child.wait(30)
    gone = one(sampler, process)
    assert gone == Sample(at=gone.at, alive=False)
    assert not is_alive(process, host)


def test_another_process_of_the_same_pid_is_not_it(puppet: Puppet, host: Host) -> None:
    process = puppet.os_process
    assert process.create_time is not None
    sampler = TreeSampler(host)
    for offset in (-3600.0, -CREATE_TIME_TOLERANCE - 1.5, CREATE_TIME_TOLERANCE + 1.5):
        other = replace(process, create_time=process.create_time + offset)
        assert not one(sampler, other).alive and not is_alive(other, host)
    row = host.row(os.getpid())
    assert row is not None and not is_same(row, OSProcess(puppet.pid, row.create_time))
    near = replace(process, create_time=process.create_time + 0.9)
    assert one(sampler, near).alive and is_alive(near, host)


def test_a_process_without_create_time_is_pinned_at_first_sight(puppet: Puppet, host: Host) -> None:
    sampler = TreeSampler(host)
    assert one(sampler, OSProcess(puppet.pid)).alive
    assert not is_alive(OSProcess(puppet.pid), host)
    found = identify(puppet.pid, host)
    assert found is not None and found.pid_namespace == own_pid_namespace() and is_alive(found, host)
    puppet.end()
    assert not one(sampler, OSProcess(puppet.pid)).alive
    assert identify(puppet.pid, host) is None and not is_alive(found, host)


def test_a_foreign_pid_namespace_says_nothing(puppet: Puppet) -> None:
    own = own_pid_namespace()
    assert own is not None and own == Path("/proc/self/ns/pid").stat().st_ino
    foreign = replace(puppet.os_process, pid_namespace=own + 1)
    assert TreeSampler().sample({"p": foreign, "q": replace(puppet.os_process, pid_namespace=own)}).keys() == {"q"}
    assert not is_alive(foreign)


def test_run_queue_wait_of_threads_that_end_stays(puppet: Puppet) -> None:
    if one(TreeSampler(), puppet.os_process).cpu_wait_seconds is None:
        pytest.skip("this kernel has no scheduler statistics")
    sampler, process = TreeSampler(), puppet.os_process
    seen = []
    puppet.do("event = threading.Event()")
    puppet.do("threads = [threading.Thread(target=lambda: (burn(0.3), event.wait())) for _ in range(4)]")
    puppet.do("[thread.start() for thread in threads]; time.sleep(0.5)")
    seen.append(one(sampler, process).cpu_wait_seconds)
    puppet.do("event.set(); [thread.join() for thread in threads]")
    seen.append(one(sampler, process).cpu_wait_seconds)
    assert seen[0] is not None and seen[1] is not None
    assert 0 < seen[0] <= seen[1] + 1e-6, "sums of floats"


def test_a_silent_process_is_quiet_and_a_busy_one_is_not(puppet: Puppet, host: Host) -> None:
    now = [1000.0]
    sampler, process = TreeSampler(host, clock=lambda: now[0], monotonic=lambda: now[0]), puppet.os_process
    assert one(sampler, process).quiet_since is None
    now[0] += QUIET_WINDOW
    assert one(sampler, process).quiet_since == 1000.0
    puppet.do("burn(0.2)")
    now[0] += QUIET_WINDOW
    assert one(sampler, process).quiet_since is None


# ── a folder that looks like /proc ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """One process with a name made to mislead."""
    fields = "S 7 42 42 0 -1 4194304 100 23 31 6 250 50 1200 300 20 0 4 0 340500 3133440 390 18446744073709551615 1 1"
    files = {
        "42/stat": f"42 (a) R 1 (b) {fields}\n",
        "42/io": "rchar: 5000\nwchar: 700\nsyscr: 10\nsyscw: 1\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 0\n",
        "42/schedstat": "77 1500000000 3\n",
        "42/task/42/schedstat": "77 1500000000 3\n",
        "42/task/43/schedstat": "5 250000000 1\n",
        "42/cgroup": "4:memory:/jobs/one\n1:cpu:/\n0::/jobs/one\n",
        "42/fd/0": "",
        "42/fd/1": "",
        "meminfo": "MemTotal:       16000000 kB\nMemFree: 1 kB\n",
        "99/stat": f"99 (dead) X{fields[1:]}\n",
        "98/stat": "98 (half",
        "self/stat": "",
    }
    for name, text in files.items():
        (tmp_path / "proc" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "proc" / name).write_text(text)
    return tmp_path / "proc"


@pytest.mark.skipif(os.sysconf("SC_CLK_TCK") != 100 or os.sysconf("SC_PAGE_SIZE") != 4096, reason="numbers are for 100 Hz, 4 KiB")
def test_numbers_from_proc(proc: Path) -> None:
    host = LinuxHost(proc, boot_time=lambda: 1000.0)
    (row,) = host.rows().values()
    assert row == host.row(42)
    assert (row.pid, row.ppid, row.session, row.zombie) == (42, 7, 42, False)
    assert (row.started, row.create_time) == (340500, 1000.0 + 3405.0)
    assert (row.cpu, row.reaped_cpu, row.faults, row.reaped_faults) == (3.0, 15.0, 100, 23)
    assert row.majors == 37
    assert (row.resident, row.threads) == (390 * 4096, 4)
    assert host.io(42) == Io(4096, 8192, 5700)
    assert host.open_fds(42) == 2
    assert host.waits(42, 4) == {42: 1.5, 43: 0.25}
    assert host.waits(42, 1) == {42: 1.5}
    assert host.row(41) is None


def test_a_kernel_without_scheduler_statistics(proc: Path) -> None:
    for file in proc.glob("42/**/schedstat"):
        file.unlink()
    assert LinuxHost(proc).waits(42, 1) is None
    assert LinuxHost(proc).waits(42, 4) is None


@pytest.mark.parametrize("ask", [lambda h: h.io(7), lambda h: h.open_fds(7), lambda h: h.waits(7, 1), lambda h: h.waits(7, 2)])
def test_who_is_gone_is_said_to_be_gone(proc: Path, ask: Callable[[LinuxHost], object]) -> None:
    with pytest.raises(ProcessLookupError):
        ask(LinuxHost(proc))


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, 16_000_000 * 1024),
        ({"jobs/one/memory.max": "1000000\n"}, 1_000_000),
        ({"jobs/one/memory.max": "max\n", "jobs/memory.max": "2000000\n", "memory.max": "max\n"}, 2_000_000),
        ({"jobs/one/memory.max": "max\n"}, 16_000_000 * 1024),
        ({"memory/jobs/one/memory.limit_in_bytes": "3000000\n"}, 3_000_000),
        ({"memory/jobs/one/memory.limit_in_bytes": "9223372036854771712\n"}, 16_000_000 * 1024),
        ({"memory/memory.limit_in_bytes": "4000000\n"}, 4_000_000),
        ({"memory.max": "5000000\n"}, 5_000_000),
        ({"jobs/one/memory.max": "32000000000000\n"}, 16_000_000 * 1024),
    ],
)
def test_memory_is_that_of_the_cgroup_or_of_the_host(proc: Path, limits: dict[str, str], expected: int) -> None:
    cgroups = proc.parent / "cgroup"
    cgroups.mkdir()
    for name, text in limits.items():
        (cgroups / name).parent.mkdir(parents=True, exist_ok=True)
        (cgroups / name).write_text(text)
    assert LinuxHost(proc, cgroups).memory_limit(42) == expected


def test_boot_time_agrees_with_the_kernel() -> None:
    told = next(float(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    assert abs(boot_time() - told) <= 1.1


def test_the_boot_time_is_one_number_until_the_clock_is_set() -> None:
    read = iter([1000.0, 1000.000_002, 999.999_997, 1000.3, 1000.6, 1000.6, 1000.7, 996.0, 996.0, 995.9])
    boot = BootTime(read.__next__)
    assert [boot() for _ in range(7)] == [1000.0, 1000.0, 1000.0, 1000.6, 1000.6, 996.0, 996.0]


def test_a_create_time_is_the_same_however_often_and_by_whom_it_is_read(host: Host) -> None:
    host.rows()
    rows = [found for found in (host.row(os.getpid()), host.rows()[os.getpid()]) if found is not None]
    rows += [found for found in (host_here().row(os.getpid()) for _ in range(100)) if found is not None]
    mine = identify(os.getpid())
    assert mine is not None and {row.create_time for row in rows if type(host) is LinuxHost} <= {mine.create_time}
    assert all(is_same(row, mine) for row in rows)


def test_this_process_is_found_by_every_way_of_asking(host: Host) -> None:
    row = host.rows()[os.getpid()]
    assert row.ppid == os.getppid()
    assert abs(row.create_time - psutil.Process().create_time()) <= 1.1
    assert host.memory_limit(os.getpid()) is not None
    assert not host.hidden(os.getpid()) and not host.hidden(2**22 + 1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_read_together_is_what_is_read_one_by_one(puppet: Puppet) -> None:
    """A process that comes to have more of everything, then less, by files that stay open and by none."""
    quick, plain = TreeSampler(LinuxHost()), TreeSampler(LinuxHost(max_files=0))
    process = puppet.os_process

    def both() -> list[tuple[object, ...]]:
        return [tuple(one(sampler, process)._replace(at=0, cpu_ratio=None, quiet_since=None)) for sampler in (quick, plain)]

    wait_until(lambda: len(set(both())) == 1, what="the same figures")
    seen = {both()[0]}
    for line in (
        "files = [open('/dev/null') for _ in range(9)]",
        "block = bytearray(os.urandom(1)) * 30_000_000; burn(0.05)",
        "event = threading.Event(); thread = threading.Thread(target=event.wait); thread.start()",
        "[file.close() for file in files]; block = None",
        "event.set(); thread.join()",
    ):
        puppet.do(line)
        wait_until(lambda: len(set(both())) == 1, what=f"the same figures after {line}")
        seen.add(both()[0])
        assert quick.errors_total == plain.errors_total == 0
    assert len(seen) == 6


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_open_files_are_counted_within_two_passes(puppet: Puppet) -> None:
    sampler, process = TreeSampler(LinuxHost()), puppet.os_process
    for _ in range(2):
        puppet.do("pass")
        had = one(sampler, process).open_fds
    assert had is not None
    for number in range(1, 7):
        puppet.do(f"file{number} = open('/dev/null')")
        seen = [one(sampler, process).open_fds for _ in range(2)]
        assert seen[1] == had + number and seen[0] in (had + number - 1, had + number)


def test_proportional_memory_of_who_vanishes_and_of_who_is_refused() -> None:
    """A member that is gone when it is asked has none; a refusal counts each time, and leaves resident memory to judge by."""
    kernel = Kernel()
    root = kernel.fork(1)
    child = kernel.fork(root)
    kernel.procs[root].mine = kernel.procs[child].mine = True
    sampler = TreeSampler(kernel, clock=lambda: 0.0, monotonic=lambda: kernel.clock, proportional=True)
    process = OSProcess(root, 1000.0 + kernel.procs[root].started)
    sample = one(sampler, process)
    assert (sample.resident_bytes, sample.proportional_bytes, sample.memory_ratio) == (2_000_000, 1_200_000, 1_200_000 / 16_000_000)
    kernel.refused = {"proportional"}
    assert one(sampler, process).proportional_bytes == 1_200_000, "it is asked again after a while only"
    kernel.clock += EVERY
    sample = one(sampler, process)
    assert (sample.proportional_bytes, sample.memory_ratio, sampler.errors_total) == (None, 2_000_000 / 16_000_000, 2)
    kernel.refused = set()
    kernel.clock += EVERY
    assert one(sampler, process).proportional_bytes == 1_200_000
    ask, gone = kernel.proportional, kernel.procs[child]

    def vanishes(pid: int) -> int | None:
        if pid == gone.pid:
            raise ProcessLookupError(pid)
        return ask(pid)

    kernel.proportional = vanishes  # type: ignore[method-assign]
    kernel.clock += EVERY
    assert one(sampler, process).proportional_bytes == 600_000
