"""track and Progress of rich that report: import them from headway.integrations.rich instead of from rich.progress.

What is drawn is rich's own. Beside it runs a process of Headway for each task, also where nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import length_hint
from types import TracebackType
from typing import Any, TypeVar

try:
    from rich import progress
    from rich.errors import MarkupError
    from rich.text import Text
except ModuleNotFoundError as error:
    if error.name != "rich":
        raise
    raise ModuleNotFoundError("headway.integrations.rich needs rich: pip install rich", name="rich") from None

from headway.integrations.following import Following, follow, innermost
from headway.reporter.tracking import script
from headway.reporter.tracking import track as reported

T = TypeVar("T")
_NOTHING = ("Working",)  # what rich calls a task that nobody named

__all__ = ["Progress", "track"]


def track(
    sequence: Iterable[T],
    description: str = "Working...",
    total: float | None = None,
    completed: int = 0,
    *args: Any,
    report: Mapping[str, Any] | bool | None = None,
    **kwargs: Any,
) -> Iterable[T]:
    """Takes what rich's track takes, and `report`: what Reporter takes beside (name, type, project …), or False for no process."""
    shown = progress.track(sequence, description, total, completed, *args, **kwargs)
    if report is False:
        return shown
    given = dict(report) if isinstance(report, Mapping) else {}
    given.setdefault("name", plain(description) or script())
    if completed:
        given.setdefault("current", completed)
    above = innermost()
    if above is not None:
        given.setdefault("parent_id", above.id)
    return reported(shown, total=total or length_hint(sequence) or None, **given)


class Progress(progress.Progress):
    """Takes what rich's Progress takes, and `report` as above; a process for each task, from `add_task` until it is complete,
    stopped or removed, or the display ends."""

    def __init__(self, *columns: Any, report: Mapping[str, Any] | bool | None = None, **kwargs: Any) -> None:
        self._report = report
        self._followed: dict[progress.TaskID, Following] = {}
        super().__init__(*columns, **kwargs)

    def add_task(
        self,
        description: str,
        start: bool = True,
        total: float | None = 100.0,
        completed: int = 0,
        visible: bool = True,
        **fields: Any,
    ) -> progress.TaskID:
        task_id = super().add_task(description, start, total, completed, visible, **fields)
        if self._report is not False:
            task = self._tasks[task_id]
            given = dict(self._report) if isinstance(self._report, Mapping) else {}
            if not start:
                given["queued"] = True
            found = follow(lambda: task.completed if task.started else None, plain(description), total, None, completed, given)
            if found is not None:
                self._followed[task_id] = found
        return task_id

    def start_task(self, task_id: progress.TaskID) -> None:
        super().start_task(task_id)
        if task_id in self._followed:
            self._followed[task_id].start()

    def stop_task(self, task_id: progress.TaskID) -> None:
        super().stop_task(task_id)
        self._end((task_id,))

    def remove_task(self, task_id: progress.TaskID) -> None:
        self._end((task_id,))
        super().remove_task(task_id)

    def stop(self) -> None:
        super().stop()
        self._end(tuple(self._followed))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self._end(tuple(self._followed), error)
        super().__exit__(kind, error, trace)

    def get_renderables(self) -> Iterable[Any]:
        # Asked for at each refresh, ten times a second: what changes rarely is looked at here.
        self._look()
        yield from super().get_renderables()

    def _look(self) -> None:
        for task in self.tasks:
            reporter = self._followed.get(task.id)
            if reporter is None:
                continue
            if task.total != reporter.total and task.total is not None:
                reporter.update(total=task.total)
            stage = plain(task.description)
            if stage and stage != (reporter._fields.get("stage") or reporter.name):
                reporter.update(stage=stage)
            if task.finished:
                self._end((task.id,))

    def _end(self, task_ids: Sequence[progress.TaskID], error: BaseException | None = None) -> None:
        for task_id in task_ids:
            reporter = self._followed.pop(task_id, None)
            if reporter is not None:
                finished = task_id in self._tasks and self._tasks[task_id].finished
                reporter.conclude(None if finished else error)


def plain(description: str) -> str:
    """Without markup, and without what leads over to the bar."""
    try:
        text = Text.from_markup(description).plain
    except MarkupError:
        text = description
    text = text.strip(" \t:.…")
    return "" if text in _NOTHING else text
