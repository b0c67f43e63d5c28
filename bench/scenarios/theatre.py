"""Plays scenarios: side by side under one exporter, or one at a time; judges each when it is over."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bench.scenarios.judging import judge
from bench.scenarios.stage import Interrupted, Stage, new_exporter
from bench.scenarios.timeline import Recorder, Timeline
from bench.scenarios.truth import Scenario, Verdict

Tell = Callable[[Scenario, Verdict], None]
SETTLE: Final = 0.5


class Theatre:
    """A context: at its end everything that was started is ended, and nothing else."""

    def __init__(self, folder: Path, width: int, tell: Tell) -> None:
        self.folder = folder
        self.width = width
        self.tell = tell
        self._stop = threading.Event()
        self._telling = threading.Lock()
        self._recorders: list[Recorder] = []
        self._stages: list[Stage] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        try:
            for recorder in self._recorders:
                recorder.stop()
            for stage in self._stages:
                stage.close()
        finally:
            for recorder in self._recorders:
                if recorder.exporter.process is not None:
                    recorder.exporter.kill()

    def play(self, scenarios: Sequence[Scenario]) -> None:
        """So many at a time, the longest first."""
        if not scenarios:
            return
        shared = self._open(self.folder / "shared") if any(s.own is None for s in scenarios) else None
        waiting: queue.SimpleQueue[Scenario] = queue.SimpleQueue()
        for scenario in sorted(scenarios, key=lambda s: -s.seconds):
            waiting.put(scenario)

        def work() -> None:
            while not self._stop.is_set():
                try:
                    scenario = waiting.get_nowait()
                except queue.Empty:
                    return
                try:
                    self._one(scenario, shared)
                except Interrupted:
                    return
                except Exception as error:  # its exporter did not start
                    self.tell(scenario, Verdict(wrong=[f"it could not be played: {type(error).__name__}: {error}"]))

        workers = [threading.Thread(target=work, daemon=True) for _ in range(min(self.width, len(scenarios)))]
        for worker in workers:
            worker.start()
            time.sleep(0.2)  # they begin one after the other: each starts an interpreter
        for worker in workers:
            while worker.is_alive():
                worker.join(0.2)  # so that Ctrl-C is heard

    def play_alone(self, scenarios: Sequence[Scenario]) -> None:
        if not scenarios:
            return
        exporter = self._open(self.folder / "alone", alone=True)
        with favoured():
            for scenario in scenarios:
                self._one(scenario, exporter)

    def _open(self, folder: Path, *flags: str, alone: bool = False, clock: Path | None = None) -> Recorder:
        recorder = Recorder(new_exporter(folder, *flags, alone=alone, clock=clock))
        self._recorders.append(recorder)
        recorder.exporter.start()
        return recorder.start()

    def _one(self, scenario: Scenario, recorder: Recorder | None) -> None:
        began, folder = time.monotonic(), self.folder / scenario.name
        folder.mkdir(parents=True)
        problem = ""
        if scenario.own is not None:
            recorder = self._open(folder / "exporter", *scenario.own, clock=folder / "offset" if scenario.skewed else None)
        assert recorder is not None
        stage = Stage(scenario, recorder.exporter, folder, self._stop)
        self._stages.append(stage)
        try:
            scenario.play(stage)
        except Exception as error:
            problem = f"it could not be played: {type(error).__name__}: {error}"
        end = time.time()
        try:
            stage.rest(SETTLE)  # the last answers
        finally:
            stage.close()
        timelines = by_part(stage.run_id, recorder.timelines)
        verdict = judge(scenario, stage.marks, timelines, end)
        verdict.void = verdict.void or stage.excuse
        if not timelines and not problem:
            problem = "none of its processes was ever seen"
        if problem:
            verdict.wrong.insert(0, problem)
        verdict.seconds = time.monotonic() - began
        if scenario.own is not None:
            recorder.stop()
            recorder.exporter.kill()
        with self._telling:
            self.tell(scenario, verdict)


@contextmanager
def favoured() -> Iterator[None]:
    """The session of the benchmark before others, where the kernel shares CPU time among sessions and we may ask for it: what else
    runs on this machine then takes little of the core that the scenarios are pinned to."""
    group = Path("/proc/self/autogroup")
    try:
        before = group.read_text().rpartition(" ")[2].strip()
        group.write_text("-10")
    except OSError:
        yield
        return
    try:
        yield
    finally:
        group.write_text(before)


def by_part(run_id: str, timelines: Mapping[str, Timeline]) -> dict[str, Timeline]:
    """Of one scenario: those whose id begins with its, by the rest."""
    found = {}
    for process_id, timeline in list(timelines.items()):
        if process_id == run_id:
            found[""] = timeline
        elif process_id.startswith(f"{run_id}-"):
            found[process_id.removeprefix(f"{run_id}-")] = timeline
    return found
