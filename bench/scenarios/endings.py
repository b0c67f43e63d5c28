"""Ends without a word, ends nobody waited for, and ends that are none."""

from __future__ import annotations

import os
import signal
import socket
from typing import Final

from bench.scenarios.stage import Stage
from bench.scenarios.truth import STUCK_AFTER, ZOMBIE_AFTER, Must, Scenario, When

LAST_WORDS: Final = 5.0  # s, for which a script whose process is gone may still be heard
ELSEWHERE: Final = "another-host"


def killed(stage: Stage) -> None:
    job = stage.script("job = reporter(total=10)\njob.update(3)\nrest()")
    stage.after("started", 2)
    stage.until("running")
    job.child.kill()
    job.child.wait(10)
    stage.mark("gone")
    stage.after("gone", LAST_WORDS + 6)


def killed_tree(stage: Stage) -> None:
    """The out-of-memory killer takes the command and `headway run` with it: nobody is left to say how it ended."""
    run = stage.run(
        "mark('started')\nprint(os.getpid(), flush=True)\nopen('pid', 'w').write(str(os.getpid())); mark('pid')\nrest()"
    )
    stage.wait("pid")
    stage.after("started", 2)
    stage.until("running")
    run.child.kill()
    os.kill(int((stage.folder / "pid").read_text()), signal.SIGKILL)
    stage.mark("gone")
    stage.after("gone", LAST_WORDS + 6)


def silent_elsewhere(stage: Stage) -> None:
    stage.create(host=ELSEWHERE, pid=os.getpid(), lease=5)
    stage.after("started", 1)
    stage.update(progress={"current": 1})
    stage.mark("last")
    stage.after("last", 10)


def heard_elsewhere(stage: Stage) -> None:
    stage.create(host=ELSEWHERE, pid=1, lease=5, type="daemon")
    for _ in range(5):
        stage.rest(3.5)
        stage.update(alive=True)


def back_again(stage: Stage) -> None:
    """The network was away for longer than the lease: orphaned, until it is heard of again."""
    stage.create(host=ELSEWHERE, pid=1, lease=3, type="daemon")
    stage.mark("last")
    stage.after("last", 7)
    stage.mark("back")
    for _ in range(4):
        stage.update(status="running")
        stage.rest(1)


def zombie(stage: Stage) -> None:
    stage.script("child = fork(lambda: (reporter(), time.sleep(2), mark('gone'), os.kill(os.getpid(), 9)))\nrest()", of="parent")
    stage.after("gone", ZOMBIE_AFTER + 6)


def loud_zombie(stage: Stage) -> None:
    """It had reported progress. It ended, and is no longer silent but dead: not stuck."""
    stage.script(
        "def act():\n    job = reporter(total=10)\n    job.update(3); time.sleep(1.5); mark('gone'); os.kill(os.getpid(), 9)\n"
        "fork(act)\nrest()", of="parent",
    )  # fmt: skip
    stage.after("gone", STUCK_AFTER + 5)


def reaped_late(stage: Stage) -> None:
    """A parent that looks after its children every three seconds."""
    stage.script(
        "def act():\n    with reporter(total=3) as job:\n        for n in range(1, 4): job.update(n); time.sleep(0.5)\n"
        "    time.sleep(0.5)\nchild = fork(act)\nwait_for('started')\ntime.sleep(4.5)\nos.waitpid(child, 0)\nrest()", of="parent",
    )  # fmt: skip
    stage.after("started", 10)


def double_fork(stage: Stage) -> None:
    """A start script that ends when its daemon, twice forked and in a session of its own, runs."""
    stage.run(
        "mark('started')\nprint('starting', flush=True)\n"
        "if fork(lambda: (os.setsid(), fork(lambda: (os.close(1), os.close(2), time.sleep(40))), os._exit(0))):\n"
        "    time.sleep(1.5)\n    print('started', flush=True)"
    )
    stage.after("started", 10)


def adopted_daemon(stage: Stage) -> None:
    """The daemon reports itself after it has left whoever started it."""
    stage.script(
        "def second():\n    os.setsid()\n    job = reporter(type='daemon')\n    job.log('listening')\n    rest()\n"
        "fork(lambda: (os.setsid(), fork(second), os._exit(0)))\ntime.sleep(1)", of="starter",
    )  # fmt: skip
    stage.after("started", 12)


def crash(stage: Stage) -> None:
    """It fails with an exception: it said how it ended, so it is no orphan."""
    stage.script("job = reporter(total=3)\njob.update(1)\ntime.sleep(1)\nraise RuntimeError('no such shop')")
    stage.after("started", 9)


def cancelled(stage: Stage) -> None:
    """Ended through Headway: killed on request is no orphan."""
    stage.script("job = reporter(total=3)\njob.update(1)\nrest()")
    stage.after("started", 2)
    stage.until("running")
    stage.call("POST", f"/{stage.id()}/kill", {"grace": 1})
    stage.rest(8)


def retried(stage: Stage) -> None:
    """It fails twice, and the third time it works; each run is a process with an end of its own."""
    stage.run(
        "mark('started')\nprint('trying', flush=True)\n"
        "tries = open('tries', 'a+')\ntries.write('x'); tries.flush(); tries.seek(0)\n"
        "time.sleep(0.5)\nsys.exit(0 if len(tries.read()) > 2 else 1)",
        "--retry", "2",
    )  # fmt: skip
    stage.after("started", 9)


def orphaned(mark: str, plus: float, until: When | None = None, within: float = 3.0) -> tuple[Must, ...]:
    return (Must(gate="orphaned", severity="critical", since=When(mark=mark, plus=plus), until=until, within=within),)


HOST: Final = socket.gethostname()
SCENARIOS: Final = (
    Scenario(name="killed", about="killed without a word", play=killed, must=orphaned("gone", 0, within=LAST_WORDS + 3), seconds=15,
             quick=True),
    Scenario(name="killed-tree", about="the command and who ran it are killed", play=killed_tree, seconds=15,
             must=orphaned("gone", 0, within=LAST_WORDS + 3)),
    Scenario(name="silent-elsewhere", about="a reporter of another host is silent past its lease", play=silent_elsewhere,
             must=orphaned("last", 5), seconds=12),
    Scenario(name="heard-elsewhere", about="a reporter of another host says that it lives, and no more", play=heard_elsewhere,
             seconds=18, hard="its pid means nothing here"),
    Scenario(name="back-again", about="lost for a while, then heard of again", play=back_again, seconds=12,
             must=orphaned("last", 3, until=When(mark="back"))),
    Scenario(name="zombie", about="ended, and its parent does not wait for it", play=zombie, seconds=14,
             must=(Must(gate="zombie", severity="warning", since=When(mark="gone", plus=ZOMBIE_AFTER)),)),
    Scenario(name="loud-zombie", about="the same, after it had reported progress: dead, not stuck", play=loud_zombie, seconds=15,
             must=(Must(gate="zombie", severity="warning", since=When(mark="gone", plus=ZOMBIE_AFTER)),),
             hard="silent, and as quiet as a deadlock"),
    Scenario(name="reaped-late", about="its parent waits for it three seconds after its end", play=reaped_late, seconds=12),
    Scenario(name="double-fork", about="a start script ends, its daemon lives on", play=double_fork, seconds=12,
             hard="something of its tree lives on"),
    Scenario(name="adopted-daemon", about="a daemon that left whoever started it", play=adopted_daemon, seconds=14),
    Scenario(name="crash", about="ends with an exception", play=crash, seconds=10, quick=True),
    Scenario(name="ended-on-request", about="ended through Headway", play=cancelled, seconds=11),
    Scenario(name="retried", about="fails twice, then works", play=retried, seconds=12),
)  # fmt: skip
