"""python3 -m stack COMMAND: what the Makefile calls."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  this line runs on whatever Python there is
    sys.exit("Headway needs Python 3.11 or newer and this is {}.{}: make PYTHON=python3.12 …".format(*sys.version_info[:2]))

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NoReturn

from stack import apt, benchmarks, checks, environment, services, shell, tools, transforming
from stack.down import down
from stack.exporter import supervised
from stack.layout import Layout
from stack.ports import Ports
from stack.ports import remembered as ports_of
from stack.problem import Problem
from stack.table import remembered, states, table
from stack.up import running, tail, up

# Commands that the tests need, and the packages they are in.
_TEST_COMMANDS: Mapping[str, str] = {"chromium": "chromium", "curl": "curl", "git": "git", "strace": "strace"}


def say(text: str) -> None:
    """On standard output, whose reader may be gone (`make up | head`): what was begun goes on in silence."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def start(layout: Layout, arguments: Sequence[str]) -> int:
    """up: starts what does not run yet and shows what runs where"""
    with alone(layout):
        up(layout, os.environ, say)
        if exporter := running(layout).get("exporter"):
            secrets = services.secrets_folder(layout, os.environ)
            others = {name: one.url for name, one in supervised(layout).items()}
            shell.write(layout, {"exporter": exporter.url, **others}, secrets)
    code = status(layout, arguments)
    say(f"in a shell: . {layout.shown(layout.shell)}   (headway, with this exporter's address and key)")
    say("next: make demo, make status, make logs, make down")
    return code


def check(layout: Layout, arguments: Sequence[str]) -> int:
    """check: says of what the user configured what keeps `up` from starting; `make down up` asks before it ends anything"""
    alive = [*running(layout), *(name for name, other in supervised(layout).items() if other.process is not None)]
    with checks.running_on(alive):
        services.check_configurations(layout, os.environ)
        ports = Ports.of(os.environ, None, ports_of(layout.ports))
        commands = {name: path for name in tools.PACKAGES if (path := tools.find(layout, name, os.environ)) is not None}
        if commands.keys() == tools.PACKAGES.keys() and (layout.venv / "bin/headway").exists():
            checks.everything(layout, ports, commands, os.environ, link=False)
    return 0


def end(layout: Layout, arguments: Sequence[str]) -> int:
    """down: ends what was started here, and nothing else"""
    with alone(layout):
        down(layout, say)
    return 0


def status(layout: Layout, arguments: Sequence[str]) -> int:
    """status: shows what runs where; exit code 3 unless all that was started is ready"""
    found = states(layout)
    say("\n".join((table(layout, os.environ, found), *remembered(layout, os.environ))))
    started = [state for state in found.values() if state.word != "stopped"]
    return 0 if started and all(state.word == "ready" for state in started) else 3


def logs(layout: Layout, arguments: Sequence[str]) -> int:
    """logs [SERVICE] [follow]: shows the ends of the logs"""
    wanted = [argument for argument in arguments if argument != "follow"]
    for name in wanted:
        if name not in services.NAMES:
            own = f"there are {', '.join(services.NAMES)}"
            raise Problem(f"there is no service {name}: {own}; headway logs {name} shows one of the configuration")
    names = wanted or services.NAMES
    paths = [path for name in names if (path := layout.log(name)).exists()]
    if paths and "follow" in arguments:
        os.execvp("tail", ["tail", "-n", "20", "-F", *map(str, paths)])
    for path in paths:
        say(f"{layout.shown(path)}\n{tail(path, 40)}\n")
    return 0


def setup(layout: Layout, arguments: Sequence[str]) -> int:
    """setup [EXTRAS]: prepares the virtual environment and gets Prometheus and Alertmanager; with dev, what tests need"""
    extras = next(iter(arguments), "exporter")
    with alone(layout):
        environment.ensure(layout, extras, os.environ, say)
        tools.ensure(layout, os.environ, say)
        missing = sorted({package for command, package in _TEST_COMMANDS.items() if shutil.which(command) is None})
        if missing and "dev" in extras:
            apt.install(missing, os.environ, say)
    return 0


def transformations(layout: Layout, arguments: Sequence[str]) -> int:
    """transformations: gets Grafana's own for the tests, where node and npm are"""
    with alone(layout):
        transforming.ensure(layout, os.environ, say)
    return 0


def tool(layout: Layout, arguments: Sequence[str]) -> int:
    """tool NAME ARGUMENTS: runs promtool or amtool"""
    name, *rest = arguments
    path = tools.find(layout, name, os.environ)
    if path is None:
        raise Problem(f"{name} is not here: make setup gets it")
    os.execv(path, [name, *rest])


def demo(layout: Layout, arguments: Sequence[str]) -> int:
    """demo: gives the running stack something to show"""
    exporter = running(layout).get("exporter")
    if exporter is None:
        raise Problem("the exporter does not run: make up starts it")
    path = f"{layout.venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    # What its scripts could not say in time waits where this exporter looks, not where all others on the machine look too.
    spool = str(layout.state / "exporter/spool")
    # Once there is another key than the administrator's, nobody reports without one.
    key = {} if os.environ.get("HEADWAY_KEY") else {"HEADWAY_KEY_FILE": str(layout.state / "exporter/admin.key")}
    env = {"HEADWAY_SPOOL": spool, **key, **os.environ, "HEADWAY_URL": exporter.url, "PATH": path}
    os.chdir(layout.root)
    python_module(layout, "demo", arguments, env)


def bench(layout: Layout, arguments: Sequence[str]) -> int:
    """bench [NAME ...]: runs all benchmarks, or these"""
    with alone(layout):
        benchmarks.ensure(layout, os.environ, say)
    os.chdir(layout.root)
    environ = {**os.environ, "PATH": benchmarks.path(layout, os.environ)}
    python_module(layout, "bench", arguments, environ)


def python_module(layout: Layout, name: str, arguments: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    """Becomes this module, run by the stack's own Python, which knows by the path it was started by which packages are its own."""
    python = str(layout.venv / "bin/python")
    os.execve(python, [python, "-m", name, *arguments], environ)


def pins(layout: Layout, arguments: Sequence[str]) -> int:
    """pins: writes constraints.txt anew"""
    (layout.root / "constraints.txt").write_text(environment.pin(layout, os.environ))
    return 0


COMMANDS: Mapping[str, Callable[[Layout, Sequence[str]], int]] = {
    "up": start,
    "check": check,
    "down": end,
    "status": status,
    "logs": logs,
    "setup": setup,
    "transformations": transformations,
    "tool": tool,
    "demo": demo,
    "bench": bench,
    "pins": pins,
}


@contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """Two that start or end things at the same time would be in each other's way: the second waits."""
    layout.run.mkdir(parents=True, exist_ok=True)
    with (layout.run / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another make to finish")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: Sequence[str]) -> int:
    command = COMMANDS.get(arguments[0]) if arguments else None
    if command is None:
        say("\n".join(str(function.__doc__) for function in COMMANDS.values()))
        return 2
    # What a shell took from this clone or another one says nothing about what to start here.
    for name in shell.taken(os.environ):
        del os.environ[name]
    try:
        return command(Layout.of(os.environ), arguments[1:])
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
