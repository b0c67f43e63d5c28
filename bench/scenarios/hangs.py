"""Real hangs: all of them are stuck; critical where CPU and I/O are quiet, a warning where something still moves."""

from __future__ import annotations

import re
import signal
import subprocess
from time import time
from typing import Final

from bench.scenarios.stage import Stage
from bench.scenarios.truth import QUIET_WITHIN, STUCK_AFTER, Scenario, When, stuck

HELD: Final = STUCK_AFTER + QUIET_WITHIN + 3  # s from the silence to the end: the verdict has to stay


def deadlock_threads(stage: Stage) -> None:
    stage.script(
        """
job = reporter(total=100)
for n in range(1, 6):
    work(0.3); job.update(n)
a, b, both = threading.Lock(), threading.Lock(), threading.Barrier(2)
def take(first, second):
    with first:
        both.wait()
        with second:
            job.update(50)
mark("silent")
threads = [threading.Thread(target=take, args=locks) for locks in ((a, b), (b, a))]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    )
    stage.after("silent", HELD)


def deadlock_pipes(stage: Stage) -> None:
    """Each waits for the other to speak first."""
    stage.run(
        """
mark("started")
print("handshake", flush=True); mark("silent")
to_child, to_parent = os.pipe(), os.pipe()
fork(lambda: os.read(to_child[0], 1))
os.read(to_parent[0], 1)
"""
    )
    stage.after("silent", HELD)


def stopped(stage: Stage) -> None:
    job = stage.script("job = reporter(total=100)\nfor n in range(1, 100):\n    job.update(n); work(0.3)")
    stage.after("started", 2)
    job.child.send_signal(signal.SIGSTOP)
    stage.mark("silent")
    stage.after("silent", HELD)


def file_lock(stage: Stage) -> None:
    stage.script("file = open('lock', 'w'); fcntl.flock(file, fcntl.LOCK_EX); mark('held'); rest()", of="holder")
    stage.wait("held")
    stage.run(
        "mark('started')\nprint('opening the database', flush=True); mark('silent')\nfcntl.flock(open('lock'), fcntl.LOCK_EX)"
    )
    stage.after("silent", HELD)


def dead_socket(stage: Stage) -> None:
    """A server that accepts and never answers."""
    stage.script(
        "server = socket.create_server(('127.0.0.1', 0))\nopen('port', 'w').write(str(server.getsockname()[1])); mark('listens')\n"
        "kept = []\nwhile True: kept.append(server.accept())",
        of="server",
    )
    stage.wait("listens")
    stage.script(
        "job = reporter(total=50)\nfor n in range(1, 4):\n    job.update(n); time.sleep(0.3)\n"
        "there = socket.create_connection(('127.0.0.1', int(open('port').read())))\nthere.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')\n"
        "mark('silent')\nthere.recv(1)"
    )
    stage.after("silent", HELD)


def full_pipe(stage: Stage) -> None:
    stage.run(
        "mark('started')\nprint('packing', flush=True); mark('silent')\n"
        "reader, writer = os.pipe()\nwhile True: os.write(writer, bytes(65536))"
    )
    stage.after("silent", HELD)


def spinning(stage: Stage) -> None:
    stage.script(
        "os.nice(19)\njob = reporter(total=100)\nfor n in range(1, 6):\n    work(0.3); job.update(n)\nmark('silent')\nspin()"
    )
    stage.after("silent", HELD)


def same_value(stage: Stage) -> None:
    """Alive by its own word, again and again; nothing is ever done."""
    stage.script("rest()", of="script")
    stage.create(progress={"current": 0, "total": 100})
    for value in range(1, 5):
        stage.update(progress={"current": value})
        stage.rest(0.5)
    stage.update(progress={"current": 5})
    stage.mark("silent")
    while stage.marks["silent"][-1] + HELD > time():
        stage.update(progress={"current": 5}, alive=True)
        stage.rest(0.5)


def prompt(stage: Stage) -> None:
    stage.run(
        "mark('started')\nprint('Unpacking', flush=True); mark('silent')\ninput('Overwrite /etc/shop.conf? [y/N] ')",
        stdin=subprocess.PIPE,
    )
    stage.after("silent", HELD)


def bare_prompt(stage: Stage) -> None:
    """The first thing it ever writes is a question, without the end of a line."""
    stage.run("mark('started'); mark('silent')\ninput('Overwrite /etc/shop.conf? [y/N] ')", stdin=subprocess.PIPE)
    stage.after("silent", HELD)


def stuck_child(stage: Stage) -> None:
    stage.script(
        "if len(sys.argv) > 1:\n    child = reporter('child', total=10)\n    child.update(1); mark('silent'); rest()\n"
        "parent = reporter(total=1000)\nos.environ['HEADWAY_PARENT_ID'] = part()\n"
        "subprocess.Popen([sys.executable, __file__, 'child'])\nfor n in range(1, 1000):\n    parent.update(n); time.sleep(0.5)"
    )
    stage.after("silent", HELD)


def stuck_thread(stage: Stage) -> None:
    stage.script(
        "whole = reporter(total=1000)\nhanging = whole.child(part('part'), id=part('part'), total=10)\nhanging.update(1)\n"
        "mark('part.started'); mark('silent')\nfor n in range(1, 1000):\n    whole.update(n); work(0.5)"
    )
    stage.after("silent", HELD)


def waiting_parent(stage: Stage) -> None:
    stage.script(
        "if len(sys.argv) > 1:\n    child = reporter('child', total=10)\n    child.update(1); mark('silent'); rest()\n"
        "parent = reporter(total=3)\nparent.update(1)\nos.environ['HEADWAY_PARENT_ID'] = part()\n"
        "subprocess.run([sys.executable, __file__, 'child'])"
    )
    stage.after("silent", HELD)


def silent_io(stage: Stage) -> None:
    stage.run(
        """
os.nice(19)
mark("started")
print("copying", flush=True); mark("silent")
block = bytes(1 << 20)
with open("copy", "w+b") as file:
    while True:
        file.seek(0)
        for _ in range(4): file.write(block)
        file.flush()
        time.sleep(0.3)
"""
    )
    stage.after("silent", HELD)


def uninterruptible(stage: Stage) -> None:
    """posix_spawn waits like vfork until its child has begun: in state D. The child opens a pipe that nobody ever writes to."""
    stage.run(
        "mark('started')\nprint('starting the helper', flush=True)\nos.mkfifo('fifo'); mark('silent')\n"
        "os.posix_spawn('/bin/true', ['true'], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, 'fifo', os.O_RDONLY, 0)])"
    )
    stage.after("silent", HELD)


def silent_reporter(stage: Stage) -> None:
    """Its reporting thread is gone while the work goes on: nothing is known but that it computes."""
    stage.script(
        "os.nice(19)\njob = reporter(total=100)\nfor n in range(1, 6):\n    work(0.3); job.update(n)\n"
        "mark('silent')\ntime.sleep(0.5)\nfrom headway.reporter.hub import hub\nhub().reporters.clear()\n"
        "n = 6\nwhile True:\n    work(0.3); n += 1; job.update(n)"
    )
    stage.after("silent", HELD)


def recovers(stage: Stage) -> None:
    """Stuck for a while, then the lock is released and it goes on."""
    stage.script(
        f"job = reporter(total=100)\njob.update(1); mark('silent')\ntime.sleep({STUCK_AFTER + QUIET_WITHIN + 1})\n"
        "mark('goes on')\nfor n in range(2, 100):\n    job.update(n); time.sleep(0.5)"
    )
    stage.after("goes on", 4)


def twice(stage: Stage) -> None:
    """It hangs, goes on, and hangs again: the second time counts from its second silence."""
    stage.run(
        f"mark('started')\nprint('one', flush=True); mark('first')\ntime.sleep({STUCK_AFTER + QUIET_WITHIN})\n"
        "print('two', flush=True); mark('second')\nrest()"
    )
    stage.after("second", HELD)


QUIET: Final = re.compile("CPU and I/O quiet")
MOVES: Final = re.compile("CPU at|quiet for [0-5](\\.\\d)? s")
SCENARIOS: Final = (
    Scenario(name="deadlock-threads", about="two threads, two locks, taken crosswise", play=deadlock_threads,
             must=(stuck("critical"),), seconds=18, quick=True),
    Scenario(name="deadlock-processes", about="two processes wait for each other over pipes", play=deadlock_pipes,
             must=(stuck("critical"),), seconds=16, quick=True),
    Scenario(name="stopped", about="SIGSTOP from outside", play=stopped, must=(stuck("critical"),), seconds=18),
    Scenario(name="file-lock", about="waits for a lock that is never released", play=file_lock, must=(stuck("critical"),),
             seconds=16),
    Scenario(name="dead-socket", about="reads from a server that never answers", play=dead_socket, must=(stuck("critical"),),
             seconds=17, hard="the machine may be fine, the other side is not"),
    Scenario(name="full-pipe", about="blocked writing into a pipe that nobody reads", play=full_pipe, must=(stuck("critical"),),
             seconds=16),
    Scenario(name="spinning", about="computes for ever, gets nowhere", play=spinning, must=(stuck("warning"),), seconds=18,
             hard="it cannot be told from one long item: a warning, never critical", quick=True),
    Scenario(name="same-value", about="says the same value again and again", play=same_value, must=(stuck("warning"),), seconds=18,
             hard="a heartbeat is not progress"),
    Scenario(name="prompt", about="asks a question that nobody answers", play=prompt, must=(stuck("critical"),), seconds=16),
    Scenario(name="bare-prompt", about="the first it ever writes is a question without a line's end", play=bare_prompt,
             must=(stuck("critical"),), seconds=16, hard="no line is ever complete"),
    Scenario(name="stuck-child", about="a child hangs, its parent works", play=stuck_child,
             must=(stuck("critical", of="child"),), seconds=16, hard="the child is to be named, and only the child"),
    Scenario(name="stuck-thread", about="one part of a busy script hangs", play=stuck_thread,
             must=(stuck("warning", of="part"),), seconds=16,
             hard="both are one OS process, so that its CPU tells nothing of the part: a warning, never critical"),
    Scenario(name="waiting-parent", about="a parent waits for a child that hangs: both are stuck", play=waiting_parent,
             must=(stuck("critical"), stuck("critical", of="child")), seconds=17),
    Scenario(name="silent-io", about="moves megabytes and says nothing more", play=silent_io, must=(stuck("warning"),), seconds=16,
             hard="it cannot be told from a copy that goes well: a warning, never critical"),
    Scenario(name="uninterruptible", about="in state D", play=uninterruptible, must=(stuck("critical"),), seconds=16),
    Scenario(name="silent-reporter", about="its reporter went silent, its process works", play=silent_reporter,
             must=(stuck("warning"),), seconds=18, hard="it works; that nothing is heard of it is all that is known"),
    Scenario(name="recovers", about="hangs, then goes on", play=recovers, seconds=19,
             must=(stuck("critical", until=When(mark="goes on")),)),
    Scenario(name="hangs-twice", about="hangs, goes on, hangs again", play=twice, seconds=27,
             must=(stuck("critical", "first", until=When(mark="second")), stuck("critical", "second"))),
)  # fmt: skip
