"""The documents tell the truth: every Python block of the SDK's runs as it stands, and its tables are those of the code."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headway import Client, Reporter
from running import RunningExporter

SDK = Path(__file__).resolve().parent.parent / "docs" / "sdk.md"
TEXT = SDK.read_text(encoding="utf-8")
BLOCKS = {
    f"line {TEXT[: match.start()].count(chr(10)) + 1}": match[1]
    for match in re.finditer(r"^```python\n(.*?)^```$", TEXT, re.S | re.M)
}
# How the processes of a block end, by name; of the blocks not listed here none may be left in an active state.
ENDS = {
    "Count": "done",
    "Spell words": "done",
    "Crawl": "done",
    "NLP Backfill": "done",
    "Import contacts": "failed",
    "Nightly": "done",
    "Thumbnails": "done",
    "In parts": "done",
    "Long": "cancelled",
    "Compress": "done",
    "Nightly import": "done",
}


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 10
    assert not re.findall(r"^ +```python", TEXT, re.M), "a block that is indented would not be run"


@pytest.mark.parametrize("where", BLOCKS)
def test_a_block_runs(shared_exporter: RunningExporter, tmp_path: Path, where: str) -> None:
    script = tmp_path / "block.py"
    script.write_text(BLOCKS[where])
    environ = shared_exporter.client_env | {"HEADWAY_EXIT_WAIT": "20"}
    done = subprocess.run(
        [sys.executable, str(script)], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    drawn = "headway.integrations" in BLOCKS[where]  # bars and log records go there
    assert done.returncode == 0 and (drawn or done.stderr == ""), done.stderr
    with Client(shared_exporter.url) as client:
        made = (
            {name for name in ENDS if f'"{name}"' in BLOCKS[where]}
            if any(word in BLOCKS[where] for word in ("Reporter", "track", "tqdm"))
            else ()
        )
        for name in made:
            (process, *_) = client.list(name=name, state="all")
            assert process["status"] == ENDS[name]
            if process["status"] == "done":
                assert process["progress"]["current"] == process["progress"]["total"]


def test_every_end_is_tested() -> None:
    assert [name for name in ENDS if f'"{name}"' not in TEXT] == []


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    below = TEXT[TEXT.index(f"\n{heading}\n") :]
    table = re.search(r"(?:^\|.*\n)+", below, re.M)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[0].splitlines()[2:]]


def test_the_arguments_of_a_reporter() -> None:
    documented = {row[0].strip("`| "): row[2].strip("`") for row in rows("### Arguments")}
    parameters = [p for p in inspect.signature(Reporter.__init__).parameters.values() if p.name != "self"]
    expected = {
        p.name: "required"
        if p.default is inspect.Parameter.empty
        else f'"{p.default}"'
        if isinstance(p.default, str)
        else str(p.default)
        for p in parameters
    }
    assert documented == expected
    assert list(documented) == list(expected), "in the order of the signature"


def test_the_calls_of_a_reporter() -> None:
    documented = {name for row in rows("## Reporter") for name in re.findall(r"`?(\w+)\(", row[0])}
    public = {name for name, value in vars(Reporter).items() if inspect.isfunction(value) and not name.startswith("_")}
    assert documented == public
    attributes = {name for name, value in vars(Reporter).items() if isinstance(value, property)}
    assert all(f"`{name}`" in TEXT for name in attributes)


def test_the_methods_of_a_client() -> None:
    documented = {name for row in rows("## Client") for name in re.findall(r"`(\w+)\(", row[0])}
    public = {name for name, value in vars(Client).items() if inspect.isfunction(value) and not name.startswith("_")}
    assert documented == public
