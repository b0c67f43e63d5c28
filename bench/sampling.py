"""What a pass over OS processes costs, ours beside psutil and process-exporter in one run.

    python -m bench.sampling [--processes 1000] [--large] [--rounds 11] [--tracked 200]

Real children are started, each of them a tracked process of its own: 1,000, with --large 5,000 more. "They slept": none has run
since the pass before; "they ran": each was stopped and continued meanwhile, which changes few of their lines in /proc; "every line
had changed": all are parsed as well, because the moment of boot moved. Costs are CPU time, so that neighbours on the machine count
little. process-exporter is Debian's package prometheus-process-exporter, downloaded by apt (or given with --process-exporter) and
asked over HTTP; its CPU time is divided by all OS processes there are: it reads them all. The bound is reading what is read of
those that ran, from files that are open, and nothing else. Targets: 20 µs per OS process, an exporter below 2% of a core with 200
of them sampled every 2 s. The 20 µs were set on a machine where psutil took 77: so 26% of psutil, round by round, is the target
that says the same on any machine. Python's cyclic collector is set as the exporter sets it, for all. How soon an exit is
noticed: bench.exits.
"""

from __future__ import annotations

import gc
import itertools
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, sleep, thread_time
from typing import Final

import psutil
from bench.harness import Report, cpu_seconds, exporter, free_port, parser

from headway.garbage import YOUNG
from headway.model import OSProcess
from headway.sampler.base import identify
from headway.sampler.host import boot_time
from headway.sampler.linux_host import LinuxHost
from headway.sampler.psutil_host import PsutilHost
from headway.sampler.strays import Marks
from headway.sampler.tree_sampler import TreeSampler

TARGET_MICROSECONDS: Final = 20.0
SHARE: Final = 26.0  # percent of psutil's
TARGET_CPU_RATIO: Final = 0.02
RAN: Final = "they ran"
PSUTIL: Final = "psutil oneshot, CPU, memory, threads, state"
PACKAGE: Final = "prometheus-process-exporter"
START_DEADLINE: Final = 30.0
Roots = Mapping[str, OSProcess]


@contextmanager
def sleepers(count: int) -> Iterator[list[int]]:
    pids: list[int] = []
    try:
        for _ in range(count):
            pids.append(os.posix_spawn("/bin/sleep", ["sleep", "3600"], os.environ))
        yield pids
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)


def known(pid: int) -> OSProcess:
    process = identify(pid)
    assert process is not None
    return process


def stir(pids: Sequence[int]) -> None:
    """Makes each of them run for a moment."""
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in pids:
            os.kill(pid, number)
    sleep(0.3)


def spent(rounds: int, work: Callable[[], object], before: Callable[[], object] = lambda: None) -> list[float]:
    """CPU seconds of each round; `before` is not counted."""
    took = []
    for _ in range(rounds):
        before()
        started = thread_time()
        work()
        took.append(thread_time() - started)
    return took


def each(took: Sequence[float], count: int) -> list[float]:
    """Microseconds for each of so many."""
    return [seconds / count * 1e6 for seconds in took]


# ── a pass ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def ours(pids: Sequence[int], rounds: int) -> dict[str, list[float]]:
    """Microseconds of CPU per OS process."""
    roots = {str(pid): known(pid) for pid in pids}
    ageless = {key: OSProcess(process.pid) for key, process in roots.items()}
    some = {key: roots[key] for key in list(roots)[:1]}
    found: dict[str, list[float]] = {}
    boots = itertools.count(1000.0, 1.0)

    def case(
        what: str, rounds: int, *, roots: Roots = roots, ran: bool = False, max_files: int | None = None, moving: bool = False
    ) -> None:
        host = LinuxHost(max_files=max_files, boot_time=boots.__next__ if moving else boot_time)
        sampler = TreeSampler(host, marks=Marks())
        for _ in range(2):
            sampler.sample(roots)
        took = spent(rounds, lambda: sampler.sample(roots), lambda: stir(pids) if ran else None)
        found[what] = each(took, len(pids))
        host.close()

    case("they slept", rounds)
    case("they ran, every line had changed", rounds, roots=ageless, ran=True, moving=True)
    case("they ran, no files kept open", rounds, ran=True, max_files=0)
    case("of processes that nobody tracks", rounds, roots=some)
    first: list[float] = []
    for _ in range(rounds):
        host = LinuxHost()
        first += spent(1, lambda host=host: TreeSampler(host, marks=Marks()).sample(roots))  # type: ignore[misc]
        host.close()
    found["the first pass"] = each(first, len(pids))
    portable = TreeSampler(PsutilHost())
    found["by psutil, the portable path"] = each(spent(rounds, lambda: portable.sample(roots)), len(pids))
    return found


def in_turn(pids: Sequence[int], rounds: int) -> dict[str, tuple[str, list[float]]]:
    """Of each that ran: our pass; reading the three files of each that it needs, already open, and nothing else; and psutil with
    Process objects that are kept, which has no run-queue wait, and puts no trees together. One after the other in each round, so
    that a machine that is slow for a while is slow for all. By what it is: of whom, and microseconds."""
    roots = {str(pid): known(pid) for pid in pids}
    host = LinuxHost()
    sampler = TreeSampler(host, marks=Marks())
    files = [os.open(f"/proc/{pid}/{name}", os.O_RDONLY) for pid in pids for name in ("stat", "schedstat", "io")]
    processes = [psutil.Process(pid) for pid in pids]

    def few() -> None:
        for process in processes:
            with process.oneshot():
                process.cpu_times()
                process.memory_info()
                process.num_threads()
                process.status()

    def all_figures() -> None:
        for process in processes:
            with process.oneshot():
                process.cpu_times()
                process.memory_info()
                process.num_threads()
                process.status()
                process.ppid()
                process.io_counters()
                process.num_fds()

    cases: dict[str, tuple[str, Callable[[], object]]] = {
        RAN: ("headway", lambda: sampler.sample(roots)),
        "three reads of open files": ("bound", lambda: [os.pread(file, 448, 0) for file in files]),
        PSUTIL: ("peer", few),
        "psutil oneshot, and I/O and open files": ("peer", all_figures),
    }
    found: dict[str, tuple[str, list[float]]] = {what: (of, []) for what, (of, _) in cases.items()}
    try:
        for _ in range(2):
            sampler.sample(roots)
        for _ in range(rounds):
            for what, (_, work) in cases.items():
                found[what][1].extend(each(spent(1, work, lambda: stir(pids)), len(pids)))
    finally:
        host.close()
        for file in files:
            os.close(file)
    return found


# ── process-exporter ────────────────────────────────────────────────────────────────────────────────────────────────


def fetch_process_exporter(folder: Path) -> Path | None:
    """Debian's package, unpacked into `folder`; None when it is not to be had here."""
    installed = shutil.which(PACKAGE)
    if installed is not None:
        return Path(installed)
    if not all(shutil.which(tool) for tool in ("apt-get", "dpkg")):
        return None
    download = ("apt-get", "-oAPT::Sandbox::User=root", "download", PACKAGE)
    try:
        subprocess.run(download, cwd=folder, check=True, stdin=subprocess.DEVNULL, capture_output=True)
        (package,) = folder.glob("*.deb")
        subprocess.run(("dpkg", "-x", str(package), str(folder)), check=True, capture_output=True)
    except (subprocess.CalledProcessError, ValueError):
        return None
    return folder / "usr/bin" / PACKAGE


def process_exporter(program: Path, rounds: int, *flags: str) -> list[float]:
    """Microseconds of CPU per OS process and scrape."""
    port = free_port()
    command = [str(program), "-procnames", "sleep", "-web.listen-address", f"127.0.0.1:{port}", *flags]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = perf_counter() + START_DEADLINE
            while not (page := scrape(port)):
                if perf_counter() > deadline:
                    raise RuntimeError(f"{PACKAGE} does not answer")
                sleep(0.1)
            assert 'groupname="sleep"' in page
            took = []
            for _ in range(rounds):
                started = cpu_seconds(process.pid)
                scrape(port)
                took.append(cpu_seconds(process.pid) - started)
        finally:
            process.kill()
    return each(took, len(psutil.pids()))


def scrape(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


# ── an exporter ─────────────────────────────────────────────────────────────────────────────────────────────────────


def exporter_load(pids: Sequence[int], seconds: float, folder: Path) -> list[float]:
    """Cores that a real exporter uses while it tracks these processes at its default interval, with nobody asking: in five parts of
    that time."""
    with exporter(folder) as live:
        for pid in pids:
            live.call(
                "POST", "/api/processes", {"name": "sleep", "type": "task", "pid": pid, "create_time": known(pid).create_time}
            )
        sleep(6)
        found = []
        for _ in range(5):
            started, begun = live.cpu_seconds(), perf_counter()
            sleep(seconds / 5)
            found.append((live.cpu_seconds() - started) / (perf_counter() - begun))
        return found


def main(arguments: Sequence[str] | None = None) -> int:
    flags = parser(__doc__, rounds=11)
    flags.add_argument("--processes", type=int, default=1000)
    flags.add_argument("--large", action="store_true", help="5,000 more after that")
    flags.add_argument("--tracked", type=int, default=200, help="by the exporter whose load is measured")
    flags.add_argument("--seconds", type=float, default=20.0, help="for which its load is measured")
    flags.add_argument("--process-exporter", type=Path, help="its program; downloaded if not given")
    options = flags.parse_args(arguments)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.set_threshold(YOUNG)
    report = Report("sampling", "A pass over OS processes, in CPU time for each")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program: Path | None = options.process_exporter or fetch_process_exporter(folder)
        if program is None:
            report.note(f"{PACKAGE} is not to be had here: left out")
        for count in (options.processes, *((5000,) if options.large else ())):
            with sleepers(count) as pids:
                sleep(1)
                beside = in_turn(pids, options.rounds)
                for what, (of, took) in beside.items():
                    target = TARGET_MICROSECONDS if what == RAN else None
                    report.add(f"{count:,}, {what}", "µs", *took, of=of, target=target)
                shares = [100 * own / other for own, other in zip(beside[RAN][1], beside[PSUTIL][1], strict=True)]
                report.add(f"{count:,}, {RAN}, of psutil", "%", *shares, target=SHARE)
                for what, took in ours(pids, options.rounds).items():
                    report.add(f"{count:,}, {what}", "µs", *took)
                if program is not None:
                    report.add(f"{count:,}, process-exporter", "µs", *process_exporter(program, options.rounds), of="peer")
                    lean = process_exporter(program, options.rounds, "-threads=false", "-gather-smaps=false")
                    report.add(f"{count:,}, process-exporter, without threads and smaps", "µs", *lean, of="peer")
        with sleepers(options.tracked) as pids:
            report.add("an exporter with nothing tracked", "cores", *exporter_load([], options.seconds, folder / "idle"))
            busy = exporter_load(pids, options.seconds, folder / "busy")
            report.add(f"an exporter with {options.tracked} tracked, sampled every 2 s", "cores", *busy, target=TARGET_CPU_RATIO)
    return report.finish(options.results)


if __name__ == "__main__":
    sys.exit(main())
