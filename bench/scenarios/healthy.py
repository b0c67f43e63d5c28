"""Work that goes on, and rest that is meant: nobody is stuck here."""

from __future__ import annotations

import signal
import sys
from typing import Final

from bench.scenarios.stage import Stage
from bench.scenarios.truth import STUCK_AFTER, Scenario, stuck

from terminals import Terminal

LONG: Final = STUCK_AFTER * 3
JUST_UNDER: Final = STUCK_AFTER * 0.85  # s, a silence that is none yet
LONGEST_BEAT: Final = STUCK_AFTER * 0.95


def busy(stage: Stage) -> None:
    stage.script("job = reporter(total=100)\nfor n in range(1, 100):\n    work(0.4)\n    job.update(n); mark('beat')")
    stage.after("started", LONG)


def steady(stage: Stage) -> None:
    source = f"job = reporter(total=10)\nmark('beat')\nfor n in range(1, 10):\n    time.sleep({JUST_UNDER})\n    job.update(n)"
    stage.script(source + "; mark('beat')")
    stage.after("started", LONG)


def bursts(stage: Stage) -> None:
    rows = "mark('started')\nwhile True:\n    for n in range(20): print('row', n, flush=True)\n    mark('beat')"
    stage.run(f"{rows}; time.sleep({JUST_UNDER})")
    stage.after("started", LONG)


def silent_parent(stage: Stage) -> None:
    stage.script(
        """
parent = reporter(total=2)
children = [parent.child(part(f"child{n}"), id=part(f"child{n}"), total=1000) for n in range(2)]
for n in range(1, 1000):
    work(0.5)
    children[n % 2].update(n); mark("beat")
"""
    )
    stage.after("started", LONG)


def grandchildren(stage: Stage) -> None:
    """Three levels, each in an OS process of its own; only the lowest says something."""
    stage.script(
        """
if len(sys.argv) == 1:
    reporter(total=2)
    os.environ["HEADWAY_PARENT_ID"] = part()
    subprocess.run([sys.executable, __file__, "middle"])
elif sys.argv[1] == "middle":
    reporter("middle", total=2)
    os.environ["HEADWAY_PARENT_ID"] = part("middle")
    subprocess.run([sys.executable, __file__, "lowest"])
else:
    job = reporter("lowest", total=1000)
    for n in range(1, 1000):
        work(0.5); job.update(n); mark("beat")
"""
    )
    stage.wait("lowest.started")
    stage.after("started", LONG + 2)


def daemon(stage: Stage) -> None:
    stage.script("job = reporter(type='daemon')\njob.log('listening')\nrest()")
    stage.after("started", LONG)


def named_sleeper(stage: Stage) -> None:
    stage.script("job = reporter(title='sleeper-of-the-night')\njob.log('it is not time yet')\nrest()")
    stage.after("started", LONG)


def chatty_spinner(stage: Stage) -> None:
    stage.script(
        "job = reporter(total=100)\njob.update(3)\nthreading.Thread(target=lambda: work(1000, 0.5), daemon=True).start()\n"
        "while True:\n    job.log('still working'); mark('beat'); time.sleep(1)"
    )
    stage.after("started", LONG)


def lines_without_progress(stage: Stage) -> None:
    stage.run(
        "mark('started')\nprint('[1/4] Downloading', flush=True)\nn = 0\nwhile True:\n    n += 1; time.sleep(1)\n"
        "    print('retrying, connection reset', n, flush=True); mark('beat')"
    )
    stage.after("started", LONG)


def dots(stage: Stage) -> None:
    """As test runners do: a dot for each test, and no end of the line for longer than the threshold."""
    stage.run("mark('started')\nprint('collected 200 items', flush=True)\nwhile True:\n"
              "    print('.', end='', flush=True); mark('beat'); time.sleep(0.5)")  # fmt: skip
    stage.after("started", LONG)


def stages(stage: Stage) -> None:
    stage.script("job = reporter()\nfor n in range(100):\n    job.update(stage=f'step {n}'); mark('beat'); time.sleep(2)")
    stage.after("started", LONG)


def slow_start(stage: Stage) -> None:
    """It reads what it needs for one and a half times the threshold before its first line."""
    stage.run(
        f"mark('started')\nwork({STUCK_AFTER * 1.5})\nwhile True:\n    print('ready', flush=True); mark('beat'); time.sleep(1)"
    )
    stage.after("started", LONG)


def patient_start(stage: Stage) -> None:
    stage.script(
        f"job = reporter(total=100, thresholds={{'stuck_after': {STUCK_AFTER * 2}}})\nwork({STUCK_AFTER * 1.5}, 0.1)\n"
        "for n in range(1, 100):\n    job.update(n); mark('beat'); time.sleep(1)"
    )
    stage.after("started", LONG)


def queued(stage: Stage) -> None:
    stage.script(
        f"job = reporter(total=10, queued=True)\njob.log('waits for its turn')\ntime.sleep({STUCK_AFTER * 1.5})\n"
        "job.start()\nfor n in range(1, 10):\n    mark('beat'); time.sleep(1); job.update(n)"
    )
    stage.after("started", LONG)


def paused(stage: Stage) -> None:
    """Paused by Headway for longer than the threshold, and resumed: silence while it could not work is no evidence afterwards."""
    stage.script(
        "job = reporter(total=100)\nfor n in range(1, 100):\n    job.update(n)\n"
        "    for _ in range(25): work(0.1, 0.1)  # what is left of an item is still to be done when it is resumed"
    )
    stage.after("started", 3)
    stage.call("POST", f"/{stage.id()}/pause")
    stage.mark("paused")
    stage.after("paused", STUCK_AFTER * 1.5)
    stage.call("POST", f"/{stage.id()}/resume")
    stage.mark("resumed")
    stage.after("resumed", STUCK_AFTER * 1.2)


def suspended_shell(stage: Stage) -> None:
    """What Ctrl-Z does: SIGTSTP to the group in the foreground; `fg` continues it."""
    words = [sys.executable, "-m", "headway", "run", "--id", stage.id(), "--name", stage.id(), "--no-log-file", "--"]
    path = stage.written("mark('started')\nwhile True:\n    print('row', flush=True)\n    for _ in range(25): work(0.1, 0.1)", "")
    terminal = terminal_of(stage, [*words, sys.executable, str(path)])
    try:
        stage.after("started", 3)
        terminal.type("\x1a")
        stage.until("paused")
        stage.rest(STUCK_AFTER * 1.5)
        terminal.type("fg\n")
        stage.until("running")
        stage.rest(STUCK_AFTER * 1.2)
    finally:
        terminal.close()


def terminal_of(stage: Stage, words: list[str]) -> Terminal:
    """An interactive shell on a terminal, which runs the command in the foreground."""
    from shlex import join

    terminal = Terminal(["/bin/bash", "--norc", "--noprofile", "-i"], stage.environ)
    terminal.type(f"cd {stage.folder}\n{join(words)}\n")
    return terminal


def hiccup(stage: Stage) -> None:
    """Stopped for a moment by somebody's debugger, then continued: shorter than the threshold."""
    job = stage.script("job = reporter(total=100)\nfor n in range(1, 100):\n    job.update(n); mark('beat'); time.sleep(0.5)")
    stage.after("started", 3)
    job.child.send_signal(signal.SIGSTOP)
    stage.rest(STUCK_AFTER * 0.7)
    job.child.send_signal(signal.SIGCONT)
    stage.after("started", LONG)


def quick_ones(stage: Stage) -> None:
    """Many short runs, one after the other: none lives long enough to be anything."""
    stage.script(
        "mark('started')\nfrom headway import Reporter\nfor n in range(30):\n"
        "    with Reporter(part(), id=part(f'n{n}'), total=3) as job:\n        for k in range(1, 4): job.update(k); work(0.1)"
    )
    stage.after("started", 12)


def download(stage: Stage) -> None:
    """A trickle from the network into a file: too little CPU to be seen, and a line only in the end. Slow, not dead."""
    stage.script(
        "server = socket.create_server(('127.0.0.1', 0))\nopen('port', 'w').write(str(server.getsockname()[1])); mark('listens')\n"
        "there, _ = server.accept()\nwhile True: there.sendall(bytes(20000)); time.sleep(0.2)",
        of="server",
    )
    stage.wait("listens")
    stage.run(
        "mark('started')\nprint('downloading', flush=True); mark('silent')\n"
        "there = socket.create_connection(('127.0.0.1', int(open('port').read())))\n"
        "with open('file', 'wb', 0) as file:\n    while True: file.write(there.recv(1 << 16))"
    )
    stage.after("silent", STUCK_AFTER + 10)


def never_a_word(stage: Stage) -> None:
    """It copies files and says nothing, as many programs do: what never says anything cannot fall silent."""
    stage.run("mark('started')\nwork(1000, 0.1)")
    stage.after("started", LONG)


SCENARIOS: Final = (
    Scenario(name="healthy-busy", about="computes and reports all the time", play=busy, seconds=LONG, quick=True),
    Scenario(name="healthy-slow", about="one item every 5 s of the 6 allowed", play=steady, beats=LONGEST_BEAT, seconds=LONG,
             hard="silences are 85% of the threshold", quick=True),
    Scenario(name="bursts", about="bursts of lines, silences just under the threshold", play=bursts, beats=LONGEST_BEAT,
             hard="silences are 85% of the threshold", seconds=LONG),
    Scenario(name="silent-parent", about="a parent says nothing, its tracked children work", play=silent_parent, seconds=LONG,
             hard="the parent alone looks stuck; a child is silent half of the time"),
    Scenario(name="silent-ancestors", about="only the third generation says something", play=grandchildren, seconds=LONG,
             hard="two silent generations above"),
    Scenario(name="idle-daemon", about="a daemon that waits for work", play=daemon, seconds=LONG, hard="looks like a deadlock"),
    Scenario(name="named-sleeper", about="a name whose threshold is null", play=named_sleeper, seconds=LONG,
             hard="looks like a deadlock"),
    Scenario(name="chatty-spinner", about="spins and writes lines: output counts as life, so it is not stuck", play=chatty_spinner,
             seconds=LONG, hard="its progress stands still; only a timeout or time sink can tell"),
    Scenario(name="retrying-lines", about="progress stands, its lines go on: output counts as life", play=lines_without_progress,
             seconds=LONG, hard="its progress stands still; only a timeout or time sink can tell"),
    Scenario(name="row-of-dots", about="writes dots, and no line for longer than the threshold", play=dots, seconds=LONG,
             hard="no line is ever complete"),
    Scenario(name="stages", about="only the word for its stage changes", play=stages, seconds=LONG),
    Scenario(name="slow-start", about="no line for 1.5 times the threshold, then it works", play=slow_start, seconds=LONG,
             hard="its output is captured, and nothing comes"),
    Scenario(name="patient-start", about="a threshold of its own covers its slow start", play=patient_start, seconds=LONG),
    Scenario(name="queued", about="waits in a queue for longer than the threshold", play=queued, seconds=LONG),
    Scenario(name="paused", about="paused and resumed through Headway", play=paused, seconds=LONG + 6,
             hard="when it is resumed, its last line is older than the threshold"),
    Scenario(name="ctrl-z", about="`headway run` is suspended by Ctrl-Z and continued by fg", play=suspended_shell,
             seconds=LONG + 6, hard="when it goes on, its last line is older than the threshold"),
    Scenario(name="hiccup", about="stopped for 70% of the threshold", play=hiccup, seconds=LONG),
    Scenario(name="short-runs", about="thirty short runs of one name", play=quick_ones, seconds=12.0, quick=True),
    Scenario(name="silent-download", about="a trickle from the network into a file: a warning, never critical", play=download,
             seconds=17, must=(stuck("warning"),), hard="the network itself cannot be seen, only what is written to the file"),
    Scenario(name="never-a-word", about="computes and never writes a line", play=never_a_word, seconds=LONG,
             hard="silence from the first moment, with output that is captured"),
)  # fmt: skip
