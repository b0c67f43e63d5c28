"""The sections `services` of configuration files: what is read, and what is said about what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from headway.configuration import load
from headway.errors import ConfigError
from headway.model import Kind
from headway.resources import Resources
from headway.services.definition import (
    Health,
    LogRotation,
    Missed,
    Overlap,
    Policy,
    Restart,
    Schedule,
    Service,
    with_needed,
)

FULL = """
services:
  web:
    command: [./serve, --port, "8000"]
    cwd: site
    env: {MODE: production, DEBUG: no, EMPTY: }
    port: 8000
    health: {http: "http://127.0.0.1:8000/ready?full=1", interval: 5s, timeout: 2s, failures: 2, restart: true}
    pid_file: run/web.pid
    match: "serve --port 80[0-9]+"
    group: site
    depends_on: [db]
    limits: {memory: 512 MiB, cpu_time: 1h, open_files: 1024, nice: 5}
    restart: {policy: always, backoff: 2s, longest: 30s, tries: 0, stable: 5m}
    log: {rotate_at: 1 MiB, keep: 3}
    autostart: false
    start_timeout: 2m
    stop_signal: INT
    stop_grace: 10s
    type: task
    description: the site
    user: ann
    project: p
    task: t
    agent: a
    expected_duration: 1h
    timeout: 2h
    kill_on_timeout: true
    stuck_after: 5m
  db:
    command: exec ./db
  nightly:
    command: ./backup
    schedule: {cron: "30 2 * * 1-5", time_zone: Europe/Berlin, overlap: queue, missed: run}
  hourly:
    command: ./look
    schedule: "@hourly"
"""


def services(tmp_path: Path, text: str) -> dict[str, Service]:
    path = tmp_path / "headway.yaml"
    path.write_text(text)
    return {one.name: one for one in load({}, {}, path).services}


def test_every_field(tmp_path: Path) -> None:
    found = services(tmp_path, FULL)
    assert found["web"] == Service(
        name="web",
        command=("./serve", "--port", "8000"),
        cwd=str((tmp_path / "site").resolve()),
        env={"MODE": "production", "DEBUG": "no", "EMPTY": ""},
        port=8000,
        health=Health(http="http://127.0.0.1:8000/ready?full=1", interval=5, timeout=2, failures=2, restart=True),
        pid_file=str(tmp_path / "run/web.pid"),
        match="serve --port 80[0-9]+",
        group="site",
        depends_on=("db",),
        limits=Resources(memory=512 << 20, cpu_time=3600, open_files=1024, nice=5),
        restart=Restart(policy=Policy.ALWAYS, backoff=2, longest=30, tries=0, stable=300),
        log=LogRotation(rotate_at=1 << 20, keep=3),
        autostart=False,
        start_timeout=120,
        stop_signal="SIGINT",
        stop_grace=10,
        kind=Kind.TASK,
        description="the site",
        user="ann",
        project="p",
        task="t",
        agent="a",
        expected_duration=3600,
        timeout=7200,
        kill_on_timeout=True,
        stuck_after=300,
        place=f"file {tmp_path / 'headway.yaml'}:3",
    )
    assert (found["db"].kind, found["db"].restart.policy, found["db"].autostart) == (Kind.DAEMON, Policy.ON_FAILURE, True)
    assert found["db"].cwd == str(tmp_path.resolve())
    assert found["nightly"].schedule == Schedule(
        cron="30 2 * * 1-5", time_zone="Europe/Berlin", overlap=Overlap.QUEUE, missed=Missed.RUN
    )
    assert (found["nightly"].kind, found["nightly"].restart.policy) == (Kind.CRON, Policy.NEVER)
    assert found["hourly"].schedule == Schedule(cron="0 * * * *")


def test_a_check_as_a_text_is_for_the_shell(tmp_path: Path) -> None:
    found = services(tmp_path, "services:\n  a: {command: x, health: {command: test -e ready && true}}\n")
    assert found["a"].health == Health(command=("/bin/sh", "-c", "test -e ready && true"))


def test_dependencies_come_first(tmp_path: Path) -> None:
    found = services(
        tmp_path,
        "services:\n  a: {command: x, depends_on: [b, c]}\n  b: {command: x, depends_on: c}\n  c: {command: x}\n",
    )
    names = list(found)
    assert names.index("c") < names.index("b") < names.index("a")
    assert [one.name for one in with_needed(["b"], found)] == ["c", "b"]


def test_services_of_several_files(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("stuck_after: 2m\nlease: 1m\nservices:\n  a: {command: x}\n")
    two.write_text("stuck_after: 3m\nservices:\n  b: {command: x, depends_on: [a]}\n")
    got = load({}, {}, [one, two])
    assert [service.name for service in got.services] == ["a", "b"]
    assert (got.settings.stuck_after, got.settings.lease) == (180, 60)
    assert got.sources["stuck_after"] == f"file {two}:1"
    two.write_text("services:\n  a: {command: x}\n")
    with pytest.raises(ConfigError, match=r"two.yaml:2: services.a stands there twice; first in .*one.yaml:4"):
        load({}, {}, [one, two])


WRONG = [
    ("a: {}", "file FILE:2: services.a has no command: a text for the shell, or a list of words"),
    ("a: {command: }", "services.a.command: there is no value; leave the line out for the default (file FILE:2)"),
    ("a: {command: []}", "services.a.command: accepted: a text for the shell, or a list of words (file FILE:2)"),
    ("a: {command: x, cwdd: y}", "file FILE:2: unknown services.a.cwdd: did you mean cwd?"),
    ("status: {command: x}", "file FILE:2: 'status' is a word of the API's paths; accepted: up to 64 letters"),
    ("a/b: {command: x}", "file FILE:2: 'a/b' cannot be the name of a service; accepted: up to 64 letters"),
    ("a: {command: x, port: 70000}", "services.a.port: 70000 is no port; accepted: 1 to 65535 (file FILE:2)"),
    ("a: {command: x, port: no}", "services.a.port: 'no' cannot be used"),
    ("a: {command: x, health: {}}", "services.a.health: give exactly one of http, tcp and command (file FILE:2)"),
    ("a: {command: x, health: {http: ftp://x}}", "services.a.health.http: 'ftp://x' cannot be used"),
    ("a: {command: x, health: {tcp: x}}", "services.a.health.tcp: 'x' cannot be used; accepted: a port, or host:port"),
    ("a: {command: x, match: '('}", "services.a.match: '(' is no regular expression"),
    ("a: {command: x, env: {1A: x}}", "services.a.env: '1A' is no name of a variable"),
    (
        "a: {command: x, restart: sometimes}",
        "services.a.restart: 'sometimes' cannot be used; accepted: one of never",
    ),
    (
        "a: {command: x, restart: {tries: -1}}",
        "services.a.restart.tries: '-1' cannot be used; accepted: a whole number, at least 0",
    ),
    ("a: {command: x, schedule: 'every day'}", "services.a.schedule: 'every day' cannot be used (2 fields); accepted: five fields"),
    ("a: {command: x, schedule: '0 0 31 2 *'}", "services.a.schedule: '0 0 31 2 *' cannot be used (Bad day-of-month)"),
    (
        "a: {command: x, schedule: {cron: '0 0 * * *', time_zone: Mars/One}}",
        "services.a.schedule.time_zone: 'Mars/One' cannot",
    ),
    ("a: {command: x, schedule: {overlap: skip}}", "services.a.schedule: there is no cron expression"),
    ("a: {command: x, schedule: '@daily', restart: always}", "services.a.restart: always does not go with a schedule"),
    (
        "a: {command: x, limits: {memory: 12}}",
        "services.a.limits.memory: '12' is not an amount of memory; accepted",
    ),
    ("a: {command: x, limits: {nice: 40}}", "services.a.limits.nice: 40 is not within "),
    ("a: {command: x, stop_signal: STOP}", "services.a.stop_signal: 'STOP' cannot be used"),
    (
        "a: {command: x, start_timeout: soon}",
        "services.a.start_timeout: 'soon' cannot be used; accepted: a duration, in seconds or",
    ),
    ("a: {command: x, stop_grace: 10m}", "services.a.stop_grace: at most 60 s (file FILE:2)"),
    ("a: {command: x, kill_on_timeout: true}", "services.a.kill_on_timeout: needs a timeout"),
    ("a: {command: x, type: robot}", "services.a.type: 'robot' cannot be used; accepted: one of subagent"),
    ("a: {command: x, depends_on: [b]}", "services.a.depends_on: unknown service b; there are a (file FILE:2)"),
    ("a: {command: x, depends_on: [b]}\n  b: {command: x, schedule: '@daily'}", "b runs by a schedule: nothing can wait for it"),
    ("a: {command: x, depends_on: [b]}\n  b: {command: x, depends_on: [a]}", "services depend on each other in a circle: "),
    (
        "a: {command: x, port: 80}\n  b: {command: x, port: 80}",
        "services.b.port: 80 is the port of a too (file FILE:3",
    ),
    ("a: {command: x}\n  a: {command: y}", "file FILE:3: a stands there twice; first in file FILE:2"),
    ("a: [x]", "file FILE:2: services.a has no names in it; accepted: lines of the form name: value"),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[text for text, _ in WRONG])
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as error:
        services(tmp_path, f"services:\n  {text}\n")
    assert words.replace("FILE", str(tmp_path / "headway.yaml")) in error.value.detail


def test_what_asks_for_a_new_start(tmp_path: Path) -> None:
    def fingerprint(more: str) -> str:
        return services(tmp_path, f"services:\n  a: {{command: x{more}}}\n")["a"].fingerprint

    assert fingerprint("") == fingerprint(", restart: always") == fingerprint(", health: {tcp: 1}")
    assert len({fingerprint(more) for more in ("", ", port: 1", ", env: {A: b}", ", limits: {nice: 1}", ", cwd: /")}) == 5
