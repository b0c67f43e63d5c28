"""What every script of a scenario begins with; it is copied into the script, so that each is a program of its own."""

from __future__ import annotations

from typing import Final

PRELUDE: Final = '''
import fcntl, os, signal, socket, subprocess, sys, threading, time
signal.alarm(150)  # whatever goes wrong, it does not outlive the benchmark by much

def mark(word):
    """This happens now."""
    with open(os.environ["MARKS"], "a") as file:
        file.write(f"{word} {time.time()}\\n")

def part(name=""):
    return os.environ["SCENARIO"] + (f"-{name}" if name else "")

def reporter(name="", **more):
    """The process that this script is; `name` is the part it plays."""
    from headway import Reporter
    from headway.reporter import link
    link.LONGEST_PAUSE = 1.5  # between two tries: in proportion to the rest
    more.setdefault("id", part(name))
    found = Reporter(more.pop("title", more["id"]), **more)
    mark(f"{name}.started" if name else "started")
    return found

def work(seconds, share=0.25):
    """Computes for a share of the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pause = time.thread_time() + 0.02 * share
        while time.thread_time() < pause:
            pass
        time.sleep(0.02 * (1 - share))

def spin():
    while True:
        pass

def rest():
    while True:
        time.sleep(60)

def fork(act):
    pid = os.fork()
    if pid == 0:
        signal.alarm(150)
        try:
            act()
        finally:
            os._exit(0)
    return pid

def wait_for(word):
    """Until somebody has marked this."""
    while not any(line.startswith(word + " ") for line in open(os.environ["MARKS"])):
        time.sleep(0.05)
'''
