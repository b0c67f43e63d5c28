"""Session lists of others: what is read of an answer, and what a running exporter makes of real commands."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from calling import make_key
from headway import Client
from headway.configuration import load
from headway.errors import ConfigError
from headway.model import Status
from headway.polling.definition import Integration
from headway.polling.picking import Item, Unexpected, entries, item
from headway.reporter.client import ApiError
from running import RunningExporter
from waiting import wait_until

EXAMPLE = Path(__file__).resolve().parent.parent / "exporter" / "headway.yaml"
FIELDS = {"id": "key", "name": "{label} of {agentId}", "status": "state", "stage": "at", "current": "done", "total": "of.all"}
FIELDS |= {"waiting_for": "asks"}
ONE = Integration(
    name="list",
    command=("x",),
    fields=FIELDS | {"project": "=shop"},
    items="sessions",
    statuses={"ended": Status.DONE, "error": Status.FAILED},
    metadata={"model": "model", "tokens.input": "usage.0.in", "tokens.output": "usage.0.out"},
)


# ── what is read ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_entry_by_paths_texts_and_constants() -> None:
    given = {"key": 7, "label": "Prices", "agentId": "main", "state": "ended", "done": 3, "of": {"all": 5.5}, "at": " a\nb "}
    given |= {"model": "m", "usage": [{"in": 10, "out": 2}], "asks": "permission " + "x" * 200}
    assert item(ONE, given) == Item(
        entry="7",
        status=Status.DONE,
        texts={"name": "Prices of main", "project": "shop", "stage": "a b", "waiting_for": "permission " + "x" * 148 + "…"},
        numbers={"current": 3.0, "total": 5.5},
        metadata={"model": "m", "tokens": {"input": 10, "output": 2}},
    )


def test_what_is_not_there_or_makes_no_sense_is_left_out() -> None:
    given = {"key": "a", "done": "many", "of": {"all": -1}, "state": "sleeping", "at": None, "usage": {}}
    assert item(ONE, given) == Item(entry="a", texts={"name": "of", "project": "shop"})
    nothing: tuple[object, ...] = ({}, {"key": ""}, [], 3, None)
    for wrong in nothing:
        with pytest.raises(Unexpected, match="an entry without key"):
            item(ONE, wrong)


def test_where_the_list_stands() -> None:
    assert entries(ONE, {"sessions": [1, 2]}) == [1, 2]
    assert entries(ONE, {"sessions": {"a": {"x": 1}}}) == [{"x": 1, "key": "a"}], "a mapping by id is a list too"
    for wrong in ({}, {"sessions": 3}, [1], "text"):
        with pytest.raises(Unexpected, match="at 'sessions' there is no list"):
            entries(ONE, wrong)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("x: {fields: {id: a}}", "integrations.x.command is missing"),
        ("x: {command: a}", "integrations.x.fields is missing"),
        ("x: {command: a, fields: {name: a}}", "id is missing"),
        ("x: {command: a, fields: {id: a, nmae: b}}", "unknown field nmae: did you mean name?"),
        ("x: {command: 'a \"b', fields: {id: a}}", "cannot be divided into words"),
        ("x: {command: a, fields: {id: a}, every: 10ms}", "accepted: a duration"),
        ("x: {command: a, fields: {id: a}, statuses: {gone: lost}}", "'lost' is no status"),
        ("x: {command: a, fields: {id: a}, vanished: running}", "accepted: one of done, failed, cancelled"),
        ("x: {command: a, fields: {id: a}, evry: 1s}", "did you mean every?"),
        ("'x y': {command: a, fields: {id: a}}", "is no name"),
    ],
)
def test_a_wrong_section_is_told_with_its_line(tmp_path: Path, section: str, said: str) -> None:
    path = tmp_path / "headway.yaml"
    path.write_text(f"integrations:\n  {section}\n")
    with pytest.raises(ConfigError, match=r"headway\.yaml:2") as wrong:
        load({}, {}, path)
    assert said in wrong.value.detail


def test_the_example_is_right(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    section = text[text.index("#integrations:") :].split("\n\n")[0]
    lines = [line.removeprefix("#") for line in section.splitlines()]
    path = tmp_path / "headway.yaml"
    path.write_text("\n".join(lines))
    (found,) = load({}, {}, path).integrations
    assert found.name == "openclaw" and found.items == "sessions" and found.fields["id"] == "key"
    assert yaml.safe_load(path.read_text())["integrations"].keys() == {"openclaw"}


# ── a running exporter ──────────────────────────────────────────────────────────────────────────────────────────────


class Listed:
    """An exporter that asks commands; what the one called `list` prints is the content of a file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "list.json"
        self.show([])
        command = [sys.executable, "-c", "import sys; print(open(sys.argv[1]).read())", str(self.file)]
        about = {"every": "1s", "items": "sessions", "fields": FIELDS, "statuses": {"ended": "done", "error": "failed"}}
        about |= {"metadata": {"model": "model", "tokens.input": "in"}}
        (folder / "grandchild").mkdir()
        child = "[sys.executable, '-c', 'import time; time.sleep(600)']"
        slow = f"import subprocess, sys; subprocess.Popen({child}, cwd='{folder}/grandchild').wait()"
        fails = [sys.executable, "-c", "import sys; sys.exit('no password=AbCdEf0123456789AbCdEf')"]
        config = {
            "list": about | {"command": command},
            "slow": {"command": [sys.executable, "-c", slow], "fields": {"id": "a"}, "every": "1s", "timeout": "500ms"},
            "broken": {
                "command": fails,
                "fields": {"id": "a"},
                "every": "1s",
            },
            "none": {"command": "/no/such/program", "fields": {"id": "a"}, "every": "1s"},
            "words": {"command": "echo NaN", "fields": {"id": "a"}, "every": "1s"},
        }
        path = folder / "headway.yaml"
        path.write_text(json.dumps({"integrations": config}))
        self.exporter = RunningExporter(folder / "data", ("--config", str(path), "--sample-interval", "0.2")).start()
        self.client = Client(self.exporter.url, self.exporter.key)

    def show(self, sessions: list[Any]) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps({"sessions": sessions}))
        fresh.replace(self.file)

    def standing(self, name: str) -> dict[str, Any]:
        return next(one for one in self.client.integrations() if one["name"] == name)

    def of(self, label: str, state: str = "all") -> list[dict[str, Any]]:
        return self.client.list(state=state, name=f"{label} of main")

    def until(self, label: str, **facts: Any) -> dict[str, Any]:
        """The newest process of this label once these facts hold."""

        def look() -> dict[str, Any] | None:
            found = self.of(label)
            return found[0] if found and all(found[0][name] == value for name, value in facts.items()) else None

        return wait_until(look, 30, f"{label}: {facts}") or {}


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listed]:
    found = Listed(tmp_path_factory.mktemp("listed"))
    yield found
    found.client.close()
    found.exporter.kill()


def session(key: str, label: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "label": label, "agentId": "main", "state": "active"} | more


def test_a_life_in_a_list(listed: Listed) -> None:
    listed.show([session("s1", "Prices", at="searching", done=1, of={"all": 4}, model="m", **{"in": 100})])
    made = listed.until("Prices", status="running", stage="searching")
    assert made["id"] == "list-s1" and made["type"] == "subagent" and made["agent"] == "list"
    assert made["progress"]["current"] == 1 and made["metadata"]["tokens"] == {"input": 100}
    listed.show([session("s1", "Prices", at="writing", done=3, of={"all": 4}, **{"in": 250})])
    moved = listed.until("Prices", stage="writing")
    assert moved["waiting_for"] is None
    listed.show([session("s1", "Prices", at="writing", asks="permission to use\nBash")])
    listed.until("Prices", waiting_for="permission to use Bash")
    listed.show([session("s1", "Prices", at="writing")])
    listed.until("Prices", waiting_for=None)
    assert moved["progress"]["current"] == 3 and moved["metadata"]["tokens"] == {"input": 250}
    listed.show([session("s1", "Prices", state="ended")])
    listed.until("Prices", status="done")
    looked = listed.standing("list")["looked_at"]
    wait_until(lambda: listed.standing("list")["looked_at"] > looked, 30, "one more look")
    assert len(listed.of("Prices")) == 1, "one that has ended and is still listed is not begun anew"
    assert listed.standing("list")["up"] is True and listed.standing("list")["problem"] is None


def test_whoever_vanishes_has_ended_and_who_comes_back_is_a_new_run(listed: Listed) -> None:
    listed.show([session("v1", "Visitor")])
    listed.until("Visitor", status="running")
    listed.show([])
    ended = listed.until("Visitor", status="done")
    causes = [change["cause"] for change in listed.client.get(ended["id"])["transitions"]]
    assert causes[-1] == "not listed any more by integrations.list"
    listed.show([session("v1", "Visitor")])
    again = listed.until("Visitor", status="running")
    assert again["id"] != ended["id"] and len(listed.of("Visitor")) == 2
    listed.show([])
    listed.until("Visitor", status="done")


def test_an_answer_that_cannot_be_read_ends_nobody_and_is_told(listed: Listed) -> None:
    listed.show([session("k1", "Keeper")])
    listed.until("Keeper", status="running")
    listed.file.write_text("{half")
    standing = wait_until(lambda: (one := listed.standing("list"))["problem"] and one, 30, "the trouble")
    assert standing["problem"] == "did not print JSON" and standing["up"] is False
    assert 'headway_integration_up{integration="list"} 0' in listed.client.metrics()
    listed.show([session("k2", "Second"), {"label": "no key"}])
    wait_until(lambda: "1 of 2 entries" in (listed.standing("list")["problem"] or ""), 30, "the entry that cannot be taken")
    listed.until("Second", status="running")
    looked = listed.standing("list")["looked_at"]
    wait_until(lambda: listed.standing("list")["looked_at"] > looked, 30, "one more look")
    assert listed.until("Keeper")["status"] == "running", "it may be the entry that could not be read"
    listed.show([])
    listed.until("Keeper", status="done")


def test_what_an_exporter_made_the_next_one_goes_on_with(listed: Listed) -> None:
    listed.show([session("r1", "Remembered", asks="an answer"), session("r2", "Ended meanwhile")])
    listed.until("Remembered", status="running", waiting_for="an answer")
    listed.until("Ended meanwhile", status="running")
    listed.exporter.stop()
    listed.show([session("r1", "Remembered", at="after")])
    listed.exporter.start()
    listed.until("Remembered", status="running", stage="after", waiting_for=None)
    listed.until("Ended meanwhile", status="done")
    assert len(listed.of("Remembered")) == 1
    listed.show([])
    listed.until("Remembered", status="done")


def test_commands_that_hang_fail_or_are_not_there(listed: Listed) -> None:
    def problem(name: str) -> str:
        return str(wait_until(lambda: listed.standing(name)["problem"], 30, f"the trouble of {name}"))

    assert problem("slow") == "gave no answer within 0.5s"
    assert problem("broken").startswith("ended with code 1: no password=") and "AbCdEf01" not in problem("broken")
    assert problem("none") == "cannot be started: No such file or directory"
    assert problem("words") == "did not print JSON"
    folder = str(listed.file.parent / "grandchild")

    def left() -> list[str]:
        found = []
        for pid in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208
            try:
                found += [pid] if os.readlink(f"/proc/{pid}/cwd") == folder else []  # noqa: PTH115
            except OSError:
                continue
        return found

    wait_until(lambda: not left(), 30, "a moment when nothing of it is left")
    assert "integration slow: gave no answer" in "".join(listed.exporter.output)


def test_a_key_of_a_user_does_not_see_how_they_do(listed: Listed) -> None:
    key = make_key(listed.exporter, "viewer", "--user", "ann")
    with Client(listed.exporter.url, key) as ann, pytest.raises(ApiError) as refused:
        ann.integrations()
    assert refused.value.status == 403
