"""`headway run -- COMMAND`: runs a command as it always runs, and tracks it."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from headway.cli.command import add_command
from headway.cli.exits import CommandError, Exit
from headway.cli.report_flags import (
    KINDS,
    add_belonging_flags,
    add_limit_flags,
    add_metadata_flag,
    duration,
    process_id,
    process_name,
    text,
    whole,
)
from headway.cli.resource_flags import add_resource_flags, resources_of
from headway.ids import new_id

if TYPE_CHECKING:
    from headway.cli.command import Subparsers
    from headway.reporter import Reporter
    from headway.resources import Resources
    from headway.supervisor.command import Command
    from headway.supervisor.line import Place
    from headway.supervisor.logfile import LogFile
    from headway.supervisor.progress import ProgressReader
    from headway.supervisor.usage import UsageWatch

DESCRIPTION = """\
Runs a command as it always runs (terminal, colours, questions, Ctrl-C, signals, exit code) and tracks it: its output and progress,
its resource use with all its children, and how it ended. Progress is read from what it prints: bars of tqdm, rich, pip, curl or
ffmpeg, `51/80`, `63%`, `[12/340]`. The exporter being down changes nothing for the command.

Everything it writes is kept in a file too ($HEADWAY_LOG_DIR, else /var/lib/headway/logs for root, else
~/.local/state/headway/logs), which is rotated at 10 MB and removed after 7 days.

What has written something, then nothing for a minute, and gets no further, counts as stuck. A server that listens on a port of its
own choice and rests is recognised. Whatever else waits by nature is --type daemon, of which silence says nothing, or has a longer
--stuck-after.

Without --name it is called after what it runs, and after the project where that is another job in another one: "shop: main.py" for
`python main.py`, "shop: make test", "pg_dump". Flags are left out: where they alone tell two jobs apart, give each a --name, since
what is usual is learned by name.

What it may use can be limited. Memory and CPU time are those of the command and all its children; they are read once a second, and
when there is too much of either, all of them are ended as by a timeout, and the process has failed. Open files and niceness are
given to the command before it begins, and its children inherit them.

With --group and --at-most it waits for its turn: it begins when fewer than N of those that came to the group before it, by
--at-most, are still there. It is queued until then, and has its place until it has ended, --retry included. Those that one user
runs on one host with one log folder know of each other, with no exporter too; who is killed leaves the place.

The exit code is that of the command, 128 + N when signal N ended it, 124 when --kill-on-timeout did, 127 when there is no such
command, 126 when it cannot be run."""
EXAMPLES = """\
  headway run -- python train.py --epochs 3
  headway run --name "Nightly dump" --type cron --expected 20m -- pg_dump -f shop.sql shop
  headway run --timeout 1h --kill-on-timeout --retry 2 -- ./sync.sh
  headway run --group encode --at-most 2 -- ffmpeg -nostdin -i in.mov out.mp4
  headway run --memory-limit 2GiB --cpu-limit 1h --nice 10 -- make -j8
  headway run --progress 'page (?P<current>\\d+) of (?P<total>\\d+)' -- ./scan
"""
TIMED_OUT: Final = 124
NEVER_RAN: Final = "never ran"  # nothing that --retry could mend
MENDABLE: Final = ("failed", "timed_out")
FIRST_PAUSE: Final = 1.0  # s before the first repetition; then twice as long each time
LONGEST_PAUSE: Final = 60.0
STATUS_WAIT: Final = 1.0  # s, at Ctrl-Z, until the exporter has heard of it
# The key of who runs us for somebody else (see headway.supervisor.launch): not for the command.
KEY_VARIABLE: Final = "HEADWAY_RUN_KEY_FILE"


def add_parser(commands: Subparsers) -> None:
    parser = add_command(commands, "run", run, "run a command and track it", DESCRIPTION, EXAMPLES)
    parser.add_argument(
        "--name", type=process_name, help="the label that all executions share (default: from COMMAND and its project)"
    )
    parser.add_argument(
        "--type", default="task", choices=KINDS, help="what sort of work it is (default task; a server is a daemon)"
    )
    parser.add_argument("--id", type=process_id, help="an id of your own; what --retry starts later gets others")
    parser.add_argument("--parent", metavar="ID", type=process_id, help="the process it is part of (default: what runs this)")
    parser.add_argument("--description", metavar="TEXT", type=text(4096), help="what it is for")
    add_belonging_flags(parser)
    parser.add_argument("--executor", action="store_true", help="it only runs others")
    parser.add_argument("--cwd", metavar="DIR", help="where to run it (default: here)")
    add_limit_flags(parser)
    parser.add_argument("--kill-on-timeout", action="store_true", help="end it, with all its children, when --timeout has passed")
    parser.add_argument(
        "--grace", metavar="DURATION", type=duration, default=5.0, help="between the polite signal and SIGKILL (default 5s)"
    )
    parser.add_argument("--retry", metavar="N", type=count, default=0, help="run it again, up to N times, while it fails")
    at_most = "wait until fewer than N of --group go that came before it by --at-most"
    parser.add_argument("--at-most", metavar="N", type=whole(1, 10_000), help=at_most)
    parser.add_argument("--progress", metavar="REGEX", help="where its progress stands: groups current, total, percent, unit")
    parser.add_argument("--no-progress", action="store_true", help="do not look for progress in the output")
    parser.add_argument("--log-file", metavar="FILE", help="where all output is kept (default: one for each run, by its id)")
    parser.add_argument("--log-rotate-at", metavar="SIZE", type=size_of, help="begin a new file at this size (default 10 MB)")
    parser.add_argument("--log-keep", metavar="N", type=count, help="so many files, the present one included (default 5)")
    parser.add_argument("--no-log-file", action="store_true", help="keep the output only as far as the exporter does")
    add_metadata_flag(parser)
    parser.add_argument("--quiet", action="store_true", help="do not print the output, only keep it")
    add_resource_flags(parser)
    group = parser.add_argument_group("exporter")
    group.add_argument("--url", metavar="URL", help="where it is; default: $HEADWAY_URL, else http://127.0.0.1:14323")
    group.add_argument(
        "--key-file", metavar="FILE", help="the key; default: $HEADWAY_KEY, $HEADWAY_KEY_FILE, else the local admin.key"
    )
    parser.add_argument("words", metavar="COMMAND", nargs=argparse.REMAINDER, help="the command and its arguments, after --")


def count(value: str) -> int:
    if not value.isdecimal() or int(value) > 1000:
        raise argparse.ArgumentTypeError(f"{value[:60]!r} is not a whole number up to 1000")
    return int(value)


def size_of(value: str) -> int:
    from headway.forms import size

    form = size(least=1024)
    try:
        return form.read(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value[:60]!r} is not {form.accepts}") from None


def parted(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """What is meant for us, and the command after the first `--`."""
    if "--" not in argv:
        return argv, ()
    at = list(argv).index("--")
    return argv[:at], argv[at + 1 :]


def run(args: argparse.Namespace) -> int:
    words: list[str] = args.words
    if not words:
        args.parser.error("there is no COMMAND: headway run [options] -- COMMAND [arguments]")
    if args.kill_on_timeout and args.timeout is None:
        args.parser.error("--kill-on-timeout needs --timeout")
    if args.at_most is not None and not args.group:
        args.parser.error("--at-most needs --group WORD: it is those of one group that wait for each other")
    reader_of(args)  # a wrong expression is said before anything runs
    args.key = key(args)
    if KEY_VARIABLE in os.environ:
        from headway.supervisor.privileges import keep_for_ourselves

        keep_for_ourselves()
    args.id = args.id or new_id()
    place = place_of(args)
    try:
        return run_with(args, words, place)
    finally:
        if place is not None:
            place.leave()


def place_of(args: argparse.Namespace) -> Place | None:
    """In the line of its group, where it stands in one. Raises CommandError: to run without one could be one too many."""
    if args.at_most is None:
        return None
    from headway.supervisor.line import Place

    try:
        return Place(args.group, args.at_most)
    except OSError as error:
        where = f"{error.filename}: {error.strerror}"
        raise CommandError(f"--at-most: no place can be kept in {where}; another folder in HEADWAY_LOG_DIR") from None


def run_with(args: argparse.Namespace, words: Sequence[str], place: Place | None) -> int:
    """Runs it, and again as --retry says; the exit code."""
    pause = FIRST_PAUSE
    for attempt in range(args.retry + 1):
        status, code, report = once(args, words, attempt, place, pause if attempt < args.retry else None)
        if status not in MENDABLE or attempt == args.retry:
            break
        warn(f"{words[0]} ended with {code}; again in {pause:.0f} s ({args.retry - attempt} left)")
        time.sleep(pause)
        if report.cancel_requested:
            warn(f"{words[0]} was ended on request: it is not run again")
            break
        pause = min(LONGEST_PAUSE, pause * 2)
    return code


def once(
    args: argparse.Namespace, words: Sequence[str], attempt: int, place: Place | None, again_in: float | None
) -> tuple[str, int, Reporter]:
    """Runs it one time: the status it ended with, the exit code to pass on, and who reported it. `again_in`: if it fails it is run
    again after so long (s)."""
    from headway.repetition import RETRY_IN
    from headway.reporter.hub import hub
    from headway.supervisor.command import CannotStart, Command
    from headway.supervisor.tracked import Limits, Tracked

    given_id = new_id() if attempt else args.id
    log_file = None if args.no_log_file else open_log(args, given_id)
    resources = resources_of(args)
    report: Reporter | None = None
    if place is not None and (before := place.before()):
        if sys.stderr.isatty():  # else nobody is there to wonder
            warn(f"{words[0]} {waiting(place, before)}")
        report = reporter_of(args, words, given_id, True, attempt, log_file, waits=waiting(place, before))
        if (number := turn(place, report)) is not None:
            return "cancelled", 128 + number, report
    try:
        command = Command(words, environ=environment(given_id), cwd=args.cwd, prepare=resources.preparation(), quiet=args.quiet)
    except CannotStart as error:
        warn(str(error))
        report = report or reporter_of(args, words, given_id, False, attempt, log_file)
        report.end("failed", error=str(error), exit_code=error.status)
        return NEVER_RAN, error.status, report
    if report is None:
        report = reporter_of(args, words, given_id, command.pid, attempt, log_file)
    else:
        report.update(stage="")
        report.start(command.pid)
    limits = Limits(args.timeout, args.kill_on_timeout, args.grace)
    stopper = Stopper(command, given_id, args.grace)
    usage = watch_usage(command, given_id, resources)
    known = report
    tracked = Tracked(
        report,
        reader_of(args),
        limits,
        stopper.begin,
        log_file,
        warn,
        not args.no_progress,
        passed=lambda: None if usage is None else usage.passed,
        arrives=lambda: hub().await_status(known, STATUS_WAIT),
    )
    ending = command.wait(tracked)
    if usage is not None:
        usage.finish()
    stopper.finish()
    if again_in is not None and tracked.status(ending) in MENDABLE:
        report.update(metadata={RETRY_IN: again_in})  # so that nobody is told of this one
    status = tracked.ended(ending)
    return status, TIMED_OUT if status == "timed_out" else ending.status, report


def turn(place: Place, report: Reporter) -> int | None:
    """Waits for it: None when it has come. The number of the signal that ended the wait, and then that was reported."""
    from headway.supervisor.tracked import signal_name

    number = place.wait(
        lambda before: report.update(stage=waiting(place, before)),
        lambda: report.cancel_requested,
    )
    if number is not None:
        why = "on request" if report.cancel_requested else f"by {signal_name(number)}"
        report.end("cancelled", error=f"ended {why} while it was queued: nothing of it was run")
    return number


def waiting(place: Place, before: int) -> str:
    return f"waits for {before} of {place.group}"


def watch_usage(command: Command, given_id: str, resources: Resources) -> UsageWatch | None:
    """None where nothing needs to be watched: that costs nothing then."""
    if resources.memory is None and resources.cpu_time is None:
        return None
    from headway.supervisor.usage import UsageWatch

    usage = UsageWatch(command.pid, resources, warn, run_id=given_id)
    usage.begin()
    return usage


def reporter_of(
    args: argparse.Namespace,
    words: Sequence[str],
    given_id: str,
    pid: int | bool,
    attempt: int,
    log_file: LogFile | None,
    waits: str | None = None,
) -> Reporter:
    """`pid`: that of the command; True: ours, False: none. `waits`: it is queued, and this is why."""
    from headway.cli.report_body import metadata_of, thresholds_of
    from headway.reporter import Reporter

    metadata: dict[str, Any] = metadata_of(args)
    if attempt:
        before = metadata.get("retry")
        metadata |= {"retry": attempt + (before if isinstance(before, int) else 0), "retry_of": args.id}
    if args.at_most is not None:
        metadata["at_most"] = args.at_most
    if limits := resources_of(args).given():
        metadata["limits"] = limits
    if log_file is not None:
        metadata["log_file"] = str(log_file.path)
    return Reporter(
        args.name or name_of(words, args.cwd),
        args.type,
        id=given_id,
        url=args.url,
        key=args.key,
        user=args.user,
        project=args.project,
        task=args.task,
        attempt=args.attempt,
        agent=args.agent,
        group=args.group,
        parent_id=args.parent or os.environ.get("HEADWAY_PARENT_ID"),
        description=args.description,
        command=words,
        cwd=os.path.abspath(args.cwd) if args.cwd else None,  # noqa: PTH100  the words, not what links lead to
        pid=pid,
        executor=args.executor,
        metadata=metadata or None,
        expected_duration=args.expected_duration,
        timeout=args.timeout,
        thresholds=thresholds_of(args) or None,
        cancellable=True,
        stage=waits,
        queued=waits is not None,
    )


def name_of(words: Sequence[str], cwd: str | None) -> str:
    from headway.supervisor.naming import derive_name
    from headway.supervisor.project import here

    try:
        folder = here() / (cwd or "")
    except OSError:  # it is gone
        folder = None
    return derive_name(words, folder)


def key(args: argparse.Namespace) -> str | None:
    """A key that cannot be read is a mistake only where a flag names it: the command runs without the exporter too."""
    from headway.cli.connection import key_of

    try:
        args.key_file = args.key_file or os.environ.get(KEY_VARIABLE)
        return key_of(args)
    except CommandError as error:
        if args.key_file:
            raise
        warn(f"{error}; it runs untracked if the exporter wants a key")
        return None


def environment(given_id: str) -> dict[str, str]:
    """That of the command: what it reports itself becomes part of this process, and all it starts can be known by the mark."""
    return {**{name: value for name, value in os.environ.items() if name != KEY_VARIABLE}, "HEADWAY_PARENT_ID": given_id}


def open_log(args: argparse.Namespace, given_id: str) -> LogFile | None:
    from headway.supervisor.logfile import KEPT, ROTATE_AT, LogFile, directory, remove_old

    path = Path(args.log_file).absolute() if args.log_file else directory() / f"{given_id}.log"
    try:
        log_file = LogFile(path, args.log_rotate_at or ROTATE_AT, args.log_keep or KEPT)
    except OSError as error:
        warn(f"the output is not kept in {path.parent}: {error.strerror}; --no-log-file, or another folder in HEADWAY_LOG_DIR")
        return None
    if not args.log_file:
        remove_old(path.parent)
    return log_file


def reader_of(args: argparse.Namespace) -> ProgressReader:
    from headway.supervisor.progress import ProgressReader

    try:
        return ProgressReader(args.progress)
    except ValueError as error:
        raise CommandError(f"--progress: {error}", Exit.USAGE) from None


class Stopper:
    """Ends the whole tree, with who left it, in the background: what it still writes meanwhile is passed on."""

    def __init__(self, command: Command, given_id: str, grace: float) -> None:
        self._pid = command.pid
        self._id = given_id
        self._grace = grace
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def finish(self) -> None:
        """Waits for children that outlive the command: they have until the end of the grace period too."""
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        from signal import SIGTERM

        from headway.ending.base import Target
        from headway.ending.system import OSSystem
        from headway.ending.trees import end_trees
        from headway.sampler.base import host_here, identify
        from headway.sampler.strays import Run

        root = identify(self._pid)
        if root is not None:
            target = Target("run", root, (Run(self._id, root),))
            end_trees([target], signal=SIGTERM, grace=self._grace, host=host_here(), system=OSSystem())


def warn(words: str) -> None:
    """One line on stderr; that its terminal is gone changes nothing for the run."""
    with contextlib.suppress(OSError):
        print(f"headway: {words}", file=sys.stderr, flush=True)
