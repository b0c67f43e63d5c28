"""Rules of discovery: how the section `discover` is read, and what is wrong in one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from headway.configuration import load
from headway.discovery.reading import RULE
from headway.discovery.rule import Rule
from headway.errors import ConfigError
from headway.model import Kind


def rules(tmp_path: Path, text: str, more: str = "") -> tuple[Rule, ...]:
    files = [tmp_path / "headway.yaml"]
    files[0].write_text(text)
    if more:
        files.append(tmp_path / "more.yaml")
        files[1].write_text(more)
    return load({}, {}, files).discovery


EVERYTHING = """
discover:
  web:
    pid_file: run/*.pid
    port: [8081, 8080, 8081]
    command: "gunicorn (\\\\w+)"
    cwd: ~/srv
    env: [APP, STAGE=production, EMPTY=]
    run_by: [www-data, 33]
    name: "{1} on {port} of {user}, {pid_file} in {cwd}"
    type: task
    project: shop
    task: serve
    attempt: second
    agent: ann
    group: web
    user: bob
    description: the shop
    executor: true
    children: yes
  db:
    port: 5432
"""


def test_every_field(tmp_path: Path) -> None:
    web, db = rules(tmp_path, EVERYTHING)
    assert web == Rule(
        name="web",
        pid_file=f"{tmp_path}/run/*.pid",
        ports=(8081, 8080),
        command=r"gunicorn (\w+)",
        cwd=str(Path("~/srv").expanduser()),
        env=(("APP", None), ("STAGE", "production"), ("EMPTY", "")),
        run_by=("www-data", "33"),
        title="{1} on {port} of {user}, {pid_file} in {cwd}",
        kind=Kind.TASK,
        project="shop",
        task="serve",
        attempt="second",
        agent="ann",
        group="web",
        user="bob",
        description="the shop",
        executor=True,
        children=True,
        place=f"file {tmp_path}/headway.yaml:3",
    )
    assert (db.kind, db.children, db.ports, db.looks_at_everyone) == (Kind.DAEMON, False, (5432,), False)
    assert "production" not in str(web) and "STAGE" in str(web)


def test_a_name_with_placeholders(tmp_path: Path) -> None:
    web, db = rules(tmp_path, EVERYTHING)
    values = {"1": " shop\n", "port": "8080", "user": "ann", "pid_file": "x", "cwd": "y" * 300}
    assert web.named(values.__getitem__).startswith("shop on 8080 of ann, x in yyy") and len(web.named(values.__getitem__)) == 200
    assert db.named(values.__getitem__) == "db"
    assert Rule(name="r", command="(x)?", title="{1}").named(lambda word: "") == "r"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "  web: {}",
            ":2: discover.web says nothing of whom to find; give at least one of pid_file, port, command, cwd, env, run_by",
        ),
        ("  web: {project: x}", ":2: discover.web says nothing of whom to find"),
        ("  a b: {port: 1}", ":2: 'a b' cannot be the name of a rule"),
        ("  web: {prot: 1}", ":2: unknown discover.web.prot: did you mean port?"),
        ("  web:\n    port: 70000", "discover.web.port: '70000' is no port; accepted: 1 to 65535, or a list of such (file "),
        ("  web: {port: x}", "discover.web.port: 'x' is no port"),
        ("  web: {port: []}", "discover.web.port: accepted: a text, or a list"),
        ('  web: {command: "("}', "discover.web.command: '(' is no regular expression: missing )"),
        ("  web: {command: }", "discover.web.command: there is no value"),
        ("  web: {env: 1X}", "discover.web.env: '1X' is no name of a variable; accepted: VARIABLE or VARIABLE=value"),
        ("  web: {env: {A: b}}", "discover.web.env: '{A}' is no name of a variable"),
        ("  web: {port: 1, type: demon}", "discover.web.type: 'demon' cannot be used; accepted: one of subagent, "),
        ("  web: {port: 1, children: maybe}", "discover.web.children: 'maybe' cannot be used; accepted: true or false"),
        (
            '  web: {port: 1, name: "{pid}"}',
            "discover.web.name: '{pid}' cannot be used; between braces there may be port, pid_file,",
        ),
        ('  web: {cwd: /x, name: "{port}"}', "discover.web.name: {port} needs a port (file "),
        ('  web: {port: 1, name: "{pid_file}"}', "discover.web.name: {pid_file} needs a pid_file (file "),
        ('  web: {command: x, name: "{1}"}', "discover.web.name: {1} needs a command with 1 group: ( … ) (file "),
        ('  web: {command: "(x)", name: "{2}"}', "discover.web.name: {2} needs a command with 2 groups: ( … ) (file "),
        ("  - web", ":2: discover has no names in it"),
        ("  web: {port: 1}\n  web: {port: 2}", ":3: web stands there twice; first in file "),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_with_the_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        rules(tmp_path, f"discover:\n{text}\n")
    assert said in caught.value.detail
    assert str(tmp_path / "headway.yaml") in caught.value.detail


def test_rules_of_several_files_count_and_a_name_stands_once(tmp_path: Path) -> None:
    both = rules(tmp_path, "discover: {a: {port: 1}}", "discover: {b: {port: 1}}")
    assert [rule.name for rule in both] == ["a", "b"]
    with pytest.raises(ConfigError, match=r"more\.yaml:1: discover\.a stands there twice; first in file .*headway\.yaml:1"):
        rules(tmp_path, "discover: {a: {port: 1}}", "discover: {a: {port: 2}}")


def test_the_documentation_names_every_field_and_its_example_can_be_read(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parent.parent / "docs" / "discovery.md").read_text(encoding="utf-8")
    documented = {name for row in re.findall(r"^\| (`[^|]*`) \|", text, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert documented == set(RULE)
    example = re.search(r"^```yaml\n(discover:.*?)^```$", text, re.M | re.S)
    assert example is not None and len(rules(tmp_path, example[1])) == 4


def test_no_rules(tmp_path: Path) -> None:
    assert rules(tmp_path, "discover:\n") == ()
    assert load({}, {}).discovery == ()
