"""A pipeline with nested steps: lists the machine's files, hashes them, compresses them in two threads, publishes the figures."""

from __future__ import annotations

import hashlib
import lzma
import random
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from threading import Event

from demo import budget
from demo.files import ROOTS, readable
from headway import Reporter

MEGABYTE = 1_000_000


def find(run: Reporter, seconds: float) -> list[Path]:
    """A step without a total: nobody knows how many files there are. It stops after so many seconds."""
    with run.child("List files", unit="files") as step:
        files, deadline = [], time.monotonic() + seconds
        for path in chain.from_iterable(map(readable, ROOTS)):
            files.append(path)
            step.update(len(files), str(path) if len(files) % 1000 == 0 else None)
            if time.monotonic() > deadline:
                break
        step.done(f"{len(files):,} files")
        return files


def choose(files: Sequence[Path], seconds: float) -> list[Path]:
    """So many of them, taken at random, as this machine compresses in so many seconds: with one thread, to be sure of it."""
    sample = b"".join(path.read_bytes() for path in files[:: max(1, len(files) // 200)])[: 2 * MEGABYTE]
    begun = time.perf_counter()
    lzma.compress(sample)
    per_second = len(sample) / (time.perf_counter() - begun)
    left, chosen = per_second * seconds, []
    for path in random.sample(files, len(files)):
        left -= path.stat().st_size
        chosen.append(path)
        if left < 0:
            break
    return chosen


def digest(run: Reporter, files: Sequence[Path]) -> int:
    """Hashes them and counts how many hold the same."""
    with run.child("Hash files", total=len(files), unit="files") as step:
        seen: set[bytes] = set()
        for path in files:
            seen.add(hashlib.sha256(path.read_bytes()).digest())
            step.advance()
        twins = len(files) - len(seen)
        step.done(f"{len(files):,} files, {twins:,} of them the same as another")
        return twins


def compress(run: Reporter, name: str, files: Sequence[Path], deadline: float, stop: Event) -> tuple[int, int]:
    """Compresses them, keeping only how large they are: (before, after) in bytes. At the deadline the rest is left out: others may
    take the processor that was there when they were chosen. Raises KeyboardInterrupt when it is told to stop."""
    whole = sum(path.stat().st_size for path in files)
    with run.child(name, total=round(whole / MEGABYTE, 1), unit="MB") as step:
        before = after = 0
        for path in files:
            if stop.is_set():
                raise KeyboardInterrupt
            content = path.read_bytes()
            before += len(content)
            after += len(lzma.compress(content))
            step.update(round(before / MEGABYTE, 1), f"{path} {len(content):,} bytes")
            if time.monotonic() > deadline:
                step.update(total=round(before / MEGABYTE, 1), line="the time is up: the rest is left out")
                break
        step.done(f"{before / MEGABYTE:.0f} MB became {after / MEGABYTE:.0f} MB")
        return before, after


def main() -> None:
    seconds, begun = budget.seconds(), time.monotonic()
    with Reporter("Pack system files", "pipeline", 4, "steps", project="demo", group="demo", expected_duration=seconds) as run:
        run.update(stage="list")
        publish = run.child("Publish figures", queued=True)
        files = find(run, seconds / 6)
        run.update(1, stage="hash")
        twins = digest(run, files[:: max(1, len(files) // 4000)])
        run.update(2, stage="compress")
        chosen = choose(files, 0.9 * seconds - (time.monotonic() - begun))
        half, stop = len(chosen) // 2, Event()
        parts = (("Compress first half", chosen[:half]), ("Compress second half", chosen[half:]))
        with ThreadPoolExecutor(2) as threads:
            works = [threads.submit(compress, run, name, part, begun + seconds, stop) for name, part in parts]
            try:
                sizes = [work.result() for work in works]
            finally:
                stop.set()  # Ctrl-C comes here alone, and the threads are waited for
        run.update(3, stage="publish")
        before, after = (sum(side) for side in zip(*sizes, strict=True))
        with publish:
            publish.start()
            figures = {"bytes_before": before, "bytes_after": after, "twins": twins}
            publish.update(metadata=figures)
            publish.done(f"saved {1 - after / before:.0%}")
        run.update(4, metadata={**figures, "files_affected": len(chosen)})
        run.done(f"{len(chosen):,} files: {before / MEGABYTE:.0f} MB became {after / MEGABYTE:.0f} MB")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
