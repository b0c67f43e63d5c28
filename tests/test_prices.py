"""The section `prices` of the configuration, and what comes of it: cost of a process, of its name and of its project."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from headway import Client
from headway.configuration import load
from headway.costs import Price
from headway.errors import ConfigError
from headway.model import Kind
from headway.names import PROJECTS_KEPT, NameStats
from headway.store.codec import decode_name, encode_name
from records import done
from running import Starter

EXAMPLE = Path(__file__).resolve().parent.parent / "exporter" / "headway.yaml"


def given(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "headway.yaml"
    path.write_text(text)
    return path


def test_prices_are_read_in_their_order(tmp_path: Path) -> None:
    path = given(tmp_path, 'prices:\n  "m-*": {input: 1, output: 10}\n  m-free: {input: 0, output: 0.0}\n')
    assert load({}, {}, path).settings.prices == (Price(model="m-*", input=1, output=10), Price(model="m-free", input=0, output=0))
    assert load({}, {}, given(tmp_path, "")).settings.prices == ()


def test_the_example_can_be_used_as_it_stands(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    section = "".join(line.removeprefix("#") + "\n" for line in text[text.index("#prices:") :].splitlines())
    assert set(yaml.safe_load(section)) == {"prices"}
    assert len(load({}, {}, given(tmp_path, section)).settings.prices) == 2


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("m: {input: 1}", "input and output are needed"),
        ("m: {input: -1, output: 2}", "0 or more"),
        ("m: {input: .nan, output: 2}", "0 or more"),
        ("m: {inptu: 1, output: 2}", "did you mean input"),
        ("m: 3", "has no names in it"),
    ],
)
def test_a_wrong_price_is_told_with_its_line(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as wrong:
        load({}, {}, given(tmp_path, f"prices:\n  {line}\n"))
    assert "headway.yaml:2" in str(wrong.value)


def test_tokens_become_dollars_everywhere(start_exporter: Starter, tmp_path: Path) -> None:
    exporter = start_exporter("--config", str(given(tmp_path, "prices:\n  large-*: {input: 3, output: 15}\n")))
    client = Client(exporter.url, exporter.key)
    metadata = {"model": "large-1", "tokens": {"input": 1_000_000, "output": 200_000}}
    process = client.create("Review", "subagent", agent="bot", project="shop", metadata=metadata)
    assert process["cost_dollars"] == 6.0
    assert f'headway_process_cost_dollars_total{{id="{process["id"]}",name="Review",kind="subagent"}} 6' in client.metrics()
    assert 'headway_cost_dollars_total{name="Review",kind="subagent"} 0' in client.metrics(), "there from 0 on"
    client.update(process["id"], status="done", metadata={"tokens": {"output": 400_000}})
    page = client.metrics()
    assert 'headway_cost_dollars_total{name="Review",kind="subagent"} 9' in page
    assert 'headway_project_cost_dollars_total{project="shop"} 9' in page
    costs = client.analyze()["costs"]
    assert (costs["dollars"], costs["by_agent"][0]["of"], costs["by_project"][0]["of"]) == (9.0, "bot", "shop")
    exporter.restart()
    assert 'headway_cost_dollars_total{name="Review",kind="subagent"} 9' in client.metrics(), "totals by name outlast a restart"
    assert 'headway_project_cost_dollars_total{project="shop"} 9' in client.metrics(), "and those by project"
    again = client.create("Review", "subagent", project="shop", metadata={"cost_dollars": 1.5})
    client.update(again["id"], status="done")
    assert 'headway_project_cost_dollars_total{project="shop"} 10.5' in client.metrics()


def test_projects_of_a_name_are_bounded() -> None:
    stats = NameStats(name="n", kind=Kind.TASK)
    for number in range(PROJECTS_KEPT + 3):
        ended = done(f"p{number}", 100.0, project=f"p{number}")
        stats = stats.with_end(ended, None, 1.0)
    assert len(stats.project_costs) == PROJECTS_KEPT + 1 and stats.project_costs["other"] == 3.0
    assert decode_name(encode_name(stats)) == stats
