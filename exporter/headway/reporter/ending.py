"""How a script ended, for reporters that were not told: the rule is that of its exit status.

A script that ends with status 0 succeeded: done. One that ends by an exception or another status failed, with the error. Ctrl-C
is a cancellation. Python keeps an unhandled exception in sys.last_value, but no trace of an exit status, so `sys.exit` and the
builtins `exit` and `quit` are wrapped to note it, and to notice that somebody caught it. Not seen: `raise SystemExit(1)`, which
looks like success; os._exit and signals, after which nothing is said and the exporter notices that the process is gone.
"""

from __future__ import annotations

import atexit
import builtins
import os
import sys
import threading

TYPE_CHECKING = False  # as in typing, which is slow to import
if TYPE_CHECKING:
    from typing import Any, Final, NoReturn

    from headway.reporter.reporter import Reporter

# Of the traceback of the exception that ended a process, for its log.
TRACE_FRAMES: Final = 8
_watching = False
_watching_child: int | None = None
_exits = 0  # calls of sys.exit so far
_noted: tuple[int, Any] | None = None  # the latest that may be how the script ends: its number, its status
_old_error: BaseException | None = None
_worker_error: BaseException | None = None


def watch() -> None:
    """A reporter begins: from the first one on it is watched how this OS process ends."""
    global _watching, _watching_child, _old_error, _noted
    _noted = None  # whoever called sys.exit was caught, the script goes on
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and _watching_child != os.getpid() and multiprocessing.parent_process() is not None:
        # Children of multiprocessing run these at their end. Until Python 3.12 the exception that ends them is then being handled;
        # from 3.13 on it has been printed and forgotten.
        from multiprocessing.util import Finalize

        _watching_child = os.getpid()
        Finalize(None, _at_child_end, exitpriority=-100)
        _note_worker_errors()
    if _watching:
        return  # a forked child inherits the rest
    _watching = True
    _old_error = _last_error()
    _note_exits()
    atexit.register(_at_end)


def cut_off() -> bool:
    """Whether this OS process is a daemon of multiprocessing, such as a worker of a Pool: its parent ends it by a signal as soon
    as it has the last result, and nothing is run at its end."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    return multiprocessing is not None and multiprocessing.parent_process() is not None and multiprocessing.current_process().daemon


def conclude(reporter: Reporter, error: BaseException | None) -> None:
    """Gives an unfinished reporter of this process the end that its process has."""
    if reporter._final is not None or reporter._owner != os.getpid():
        return
    from headway.reporter.hub import clock

    if error is None and reporter._left is not None:
        reporter._final = reporter._left
        return
    final, lines = ({"status": "done"}, []) if error is None else final_of(error)
    for line in lines:
        reporter.log(line)
    reporter._final = (clock(), final)


def final_of(error: BaseException) -> tuple[dict[str, Any], list[str]]:
    """The final update for a process that this exception ended, and lines for its log."""
    from headway.reporter.reporter import Cancelled

    asyncio = sys.modules.get("asyncio")
    if isinstance(error, SystemExit):
        code = error.code
        if code is None or code == 0:
            return {"status": "done"}, []
        if isinstance(code, int):
            return {"status": "failed", "error": f"ended with exit code {code}", "exit_code": code}, []
        return {"status": "failed", "error": code, "exit_code": 1}, []
    if isinstance(error, KeyboardInterrupt | Cancelled | GeneratorExit) or (asyncio and isinstance(error, asyncio.CancelledError)):
        reason = "cancel was requested" if isinstance(error, Cancelled) else describe(error)
        return {"status": "cancelled", "error": reason}, []
    return {"status": "failed", "error": describe(error)}, _trace(error)


def describe(error: BaseException) -> str:
    """ "ValueError: no such file", as the last line of a traceback."""
    try:
        said = str(error)
    except Exception:
        said = ""
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _trace(error: BaseException) -> list[str]:
    import traceback

    try:
        return "".join(traceback.format_exception(error, limit=-TRACE_FRAMES)).splitlines()
    except Exception:
        return []  # an exception that cannot be shown


def _at_end() -> None:
    from headway.reporter import hub

    error = _last_error()
    if error is _old_error or hasattr(sys, "ps1"):  # at a prompt every mistake is kept there
        error = None
    hub.close(error or _worker_error or _exit())


def _at_child_end() -> None:
    from headway.reporter import hub

    hub.close(sys.exc_info()[1] or _worker_error or _exit())


def _exit() -> BaseException | None:
    return SystemExit(_noted[1]) if _noted is not None and _noted[1] not in (None, 0) else None


def _note_worker_errors() -> None:
    """multiprocessing prints the exception that ends a worker, and tells nobody else: it is noted on the way."""
    import traceback

    print_exc = traceback.print_exc

    def noting(*args: Any, **more: Any) -> None:
        global _worker_error
        if sys._getframe(1).f_globals.get("__name__") == "multiprocessing.process":
            _worker_error = sys.exc_info()[1]
        print_exc(*args, **more)

    traceback.print_exc = noting


def _last_error() -> BaseException | None:
    return getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)


def _note_exits() -> None:
    system_exit = sys.exit

    def exit(status: Any = None, /) -> NoReturn:
        try:
            system_exit(status)
        except SystemExit as error:
            _note(status, error)
            raise

    exit.__doc__ = system_exit.__doc__
    sys.exit = exit
    quitter: Any = type(getattr(builtins, "exit", None))
    if quitter.__name__ == "Quitter":
        call = quitter.__call__

        def quit(self: Any, code: Any = None) -> None:
            try:
                call(self, code)
            except SystemExit as error:
                _note(code, error)
                raise

        quitter.__call__ = quit


def _note(status: Any, error: SystemExit) -> None:
    global _exits, _noted
    if threading.current_thread() is threading.main_thread():  # elsewhere it ends a thread, not the process
        _exits += 1
        _noted = (_exits, status)
        error.__dict__["_headway"] = _Caught(_exits)


class _Caught:
    """Rides on a SystemExit and goes with it. Where the script still runs then, somebody has caught it, and it is no ending. One
    that nobody catches goes when the script is left, or later; so does one that was caught and kept, which is taken for the end."""

    __slots__ = ("_number",)

    def __init__(self, number: int) -> None:
        self._number = number

    def __del__(self) -> None:
        global _noted
        try:
            if _noted is not None and _noted[0] == self._number and _script_runs():
                _noted = None
        except Exception:
            return  # the interpreter is being taken apart

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return bool, ()  # another OS process has no use for it


def _script_runs() -> bool:
    """Whether the main thread is in the script, and not in what the interpreter does after it."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame is not None and frame.f_code.co_name in ("<module>", "_run_module_as_main")
