"""What a pass over OS processes costs, ours beside psutil and process-exporter in one run; how soon an exit is noticed.

    python bench/sampling.py [--processes 1000] [--large] [--rounds 7] [--tracked 200] [--kills 100]

Real children are started, each of them a tracked process of its own: 1,000, with --large 5,000 more. "They slept": none has run
since the pass before; "they ran": each was stopped and continued meanwhile, which changes few of their lines in /proc; "every line
had changed": all are parsed as well, because the moment of boot moved. Costs are CPU time, so that neighbours on the machine count
little; the least of the rounds is shown. process-exporter is Debian's package prometheus-process-exporter, downloaded by apt (or
given with --process-exporter) and asked over HTTP; its CPU time is divided by all OS processes there are: it reads them all.
Targets: 20 µs per OS process, an exporter below 2% of a core with 200 of them sampled every 2 s, exits noticed within 50 ms. A
table and JSON go to stdout, the JSON to bench/results/ too.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, sleep, thread_time
from typing import Final

import psutil
import uvloop

from headway.model import OSProcess
from headway.sampler.base import identify
from headway.sampler.exits import ExitWatch
from headway.sampler.host import boot_time
from headway.sampler.linux_host import LinuxHost
from headway.sampler.psutil_host import PsutilHost
from headway.sampler.strays import Marks
from headway.sampler.tree_sampler import TreeSampler
from headway.samples import Exit

TARGET_MICROSECONDS: Final = 20.0
TARGET_CPU_RATIO: Final = 0.02
TARGET_EXIT_MILLISECONDS: Final = 50.0
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


def least(rounds: int, work: Callable[[], object], before: Callable[[], object] = lambda: None) -> float:
    """CPU seconds of the best round; `before` is not counted."""
    best = float("inf")
    for _ in range(rounds):
        before()
        started = thread_time()
        work()
        best = min(best, thread_time() - started)
    return best


# ── a pass ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def ours(pids: Sequence[int], rounds: int) -> dict[str, float]:
    """Microseconds of CPU per OS process."""
    roots = {str(pid): known(pid) for pid in pids}
    ageless = {key: OSProcess(process.pid) for key, process in roots.items()}
    some = {key: roots[key] for key in list(roots)[:1]}
    found: dict[str, float] = {}
    boots = itertools.count(1000.0, 1.0)

    def case(
        what: str, rounds: int, *, roots: Roots = roots, ran: bool = False, max_files: int | None = None, moving: bool = False
    ) -> None:
        host = LinuxHost(max_files=max_files, boot_time=boots.__next__ if moving else boot_time)
        sampler = TreeSampler(host, marks=Marks())
        for _ in range(2):
            sampler.sample(roots)
        found[what] = least(rounds, lambda: sampler.sample(roots), lambda: stir(pids) if ran else None)
        host.close()

    case("headway, they slept", rounds)
    case("headway, they ran", rounds, ran=True)
    case("headway, they ran, every line had changed", rounds, roots=ageless, ran=True, moving=True)
    case("headway, they ran, no files kept open", 3, ran=True, max_files=0)
    case("headway, of processes that nobody tracks", rounds, roots=some)
    for _ in range(3):
        host = LinuxHost()
        cost = least(1, lambda host=host: TreeSampler(host, marks=Marks()).sample(roots))  # type: ignore[misc]
        found["headway, the first pass"] = min(cost, found.get("headway, the first pass", cost))
        host.close()
    portable = TreeSampler(PsutilHost())
    found["headway by psutil, the portable path"] = least(3, lambda: portable.sample(roots))
    return {what: seconds / len(pids) * 1e6 for what, seconds in found.items()}


def psutil_pass(pids: Sequence[int], rounds: int) -> dict[str, float]:
    """With Process objects that are kept. It has no run-queue wait, and nobody has put trees together yet."""
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

    return {
        "psutil oneshot, CPU, memory, threads, state": least(rounds, few) / len(pids) * 1e6,
        "psutil oneshot, and I/O and open files": least(rounds, all_figures) / len(pids) * 1e6,
    }


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


def cpu_seconds(pid: int) -> float:
    """What all its threads that live have used, to the nanosecond."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def process_exporter(program: Path, rounds: int, *flags: str) -> float:
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
            best = float("inf")
            for _ in range(rounds):
                started = cpu_seconds(process.pid)
                scrape(port)
                best = min(best, cpu_seconds(process.pid) - started)
        finally:
            process.kill()
    return best / len(psutil.pids()) * 1e6


def scrape(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


# ── an exporter ─────────────────────────────────────────────────────────────────────────────────────────────────────


def exporter_load(pids: Sequence[int], seconds: float, folder: Path) -> float:
    """Cores that a real exporter uses while it tracks these processes at its default interval, with nobody asking."""
    command = [sys.executable, "-m", "headway", "serve", "--listen", "127.0.0.1:0", "--data-dir", str(folder)]
    environ = {key: value for key, value in os.environ.items() if not key.startswith("HEADWAY_")}
    environ["HEADWAY_SPOOL"] = str(folder / "spool")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ) as process:
        try:
            assert process.stdout is not None
            match = next((found for line in process.stdout if (found := re.search(r"ready at (http://\S+)", line))), None)
            if match is None:
                raise RuntimeError("the exporter did not start; «headway serve» says why")
            for pid in pids:
                create(match[1], pid)
            sleep(6)
            started, begun = cpu_seconds(process.pid), perf_counter()
            sleep(seconds)
            return (cpu_seconds(process.pid) - started) / (perf_counter() - begun)
        finally:
            process.kill()


def create(url: str, pid: int) -> None:
    body = {"name": "sleep", "type": "task", "pid": pid, "create_time": known(pid).create_time}
    request = urllib.request.Request(
        f"{url}/api/processes", json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


# ── exits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def exit_latency(pids: Sequence[int], kills: int) -> list[float]:
    """Milliseconds from the kill to the notice, on uvloop, with all of these followed."""
    roots = {str(pid): known(pid) for pid in pids}

    async def work() -> list[float]:
        loop = asyncio.get_running_loop()
        noticed: dict[str, asyncio.Future[float]] = {str(pid): loop.create_future() for pid in pids[:kills]}

        def notice(key: str, exit: Exit) -> None:
            noticed[key].set_result(perf_counter())

        watch = ExitWatch(loop, notice)
        watch.keep(roots)
        assert len(watch) == len(pids), "the limit of open files is too low for this"
        took = []
        for key, future in noticed.items():
            started = perf_counter()
            os.kill(int(key), signal.SIGKILL)
            took.append((await future - started) * 1000)
        watch.close()
        return took

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=1000)
    parser.add_argument("--large", action="store_true", help="5,000 more after that")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tracked", type=int, default=200, help="by the exporter whose load is measured")
    parser.add_argument("--seconds", type=float, default=20.0, help="for which its load is measured")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--process-exporter", type=Path, help="its program; downloaded if not given")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="folder for the JSON")
    options = parser.parse_args(arguments)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    costs: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        program: Path | None = options.process_exporter or fetch_process_exporter(folder)
        for count in (options.processes, *((5000,) if options.large else ())):
            with sleepers(count) as pids:
                sleep(1)
                found = ours(pids, options.rounds) | psutil_pass(pids, options.rounds)
                if program is not None:
                    found["process-exporter, as it comes"] = process_exporter(program, options.rounds)
                    lean = ("-threads=false", "-gather-smaps=false")
                    found["process-exporter, without threads and smaps"] = process_exporter(program, options.rounds, *lean)
                costs[str(count)] = found
        with sleepers(options.tracked) as pids:
            idle = exporter_load([], options.seconds, folder / "idle")
            busy = exporter_load(pids, options.seconds, folder / "busy")
        with sleepers(options.processes) as pids:
            took = sorted(exit_latency(pids, options.kills))
    noticed = {"median": median(took), "p99": took[int(len(took) * 0.99) - 1], "worst": took[-1]}

    print(f"{'µs of CPU per OS process':<56}" + "".join(f"{int(count):>10,}" for count in costs))
    for what in costs[str(options.processes)]:
        target = f"   target {TARGET_MICROSECONDS:.0f}" if what == "headway, they ran" else ""
        print(f"  {what:<54}" + "".join(f"{found[what]:>10.1f}" for found in costs.values()) + target)
    if program is None:
        print(f"  ({PACKAGE} is not to be had here)")
    print(f"\n{'share of a core that an exporter uses':<56}")
    print(f"  {'nothing tracked':<54}{idle:>10.2%}")
    print(f"  {f'{options.tracked} tracked, sampled every 2 s':<54}{busy:>10.2%}   target {TARGET_CPU_RATIO:.0%}")
    print(f"\n{f'ms from a kill to its notice ({options.processes:,} followed)':<56}")
    for what, milliseconds in noticed.items():
        target = f"   target {TARGET_EXIT_MILLISECONDS:.0f}" if what == "p99" else ""
        print(f"  {what:<54}{milliseconds:>10.2f}{target}")
    result = {
        "benchmark": "sampling",
        "machine": f"{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}",
        "cpus": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "microseconds_per_process": {n: {what: round(cost, 2) for what, cost in found.items()} for n, found in costs.items()},
        "exporter_cpu_ratio": {"nothing tracked": round(idle, 5), f"{options.tracked} tracked": round(busy, 5)},
        "exit_milliseconds": {what: round(milliseconds, 3) for what, milliseconds in noticed.items()},
        "targets": {
            "microseconds_per_process": TARGET_MICROSECONDS,
            "exporter_cpu_ratio": TARGET_CPU_RATIO,
            "exit_milliseconds": TARGET_EXIT_MILLISECONDS,
        },
    }
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "sampling.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))
    met = all(found["headway, they ran"] <= TARGET_MICROSECONDS for found in costs.values())
    return 0 if met and busy <= TARGET_CPU_RATIO and noticed["p99"] <= TARGET_EXIT_MILLISECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
