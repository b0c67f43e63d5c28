"""What `make test` does with tests that fail: a folder of throw-away tests, run as it runs ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from suite import LONGEST

ROOT = Path(__file__).resolve().parent.parent
# Without the plugins of others, which take most of the time of a start.
ENVIRON = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin"}
FINE = "def test_fine(): pass\n"
# Fail the first time, when nothing is written yet.
RACING = """import pathlib, pytest
def late(name):
    there = pathlib.Path(name).exists()
    pathlib.Path(name).touch()
    assert there, "too late"
@pytest.fixture
def begins(): late("begins")
@pytest.fixture
def ends():
    yield
    late("ends")
def test_racing(): late("racing")
def test_begins(begins): pass
def test_ends(ends): pass
"""
BROKEN = "import pytest\n@pytest.mark.parametrize('n', ['a b', '[::]'])\ndef test_broken(n): assert False, f'broken {n}'\n"
MANY = "import pytest\n@pytest.mark.parametrize('n', range(6))\ndef test_many(n): assert False\n"


def suite(folder: Path, *args: str, **files: str) -> tuple[int, str]:
    """The exit code and the output of the suite in a folder with these test files."""
    (folder / "pytest.ini").write_text("[pytest]\naddopts = -ra\n")
    (folder / "deeper").mkdir(exist_ok=True)
    (folder / "deeper" / "conftest.py").touch()  # as ours has: with it pytest asks for plugins in another way
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    command = [sys.executable, "-m", "tests.suite", *args]
    done = subprocess.run(command, cwd=folder, env=ENVIRON, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def test_what_takes_longest_is_there_and_comes_first() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []
    few = ["tests/test_ids.py", f"tests/{LONGEST[-1]}", "tests/stack/test_demo.py", f"tests/{LONGEST[0]}"]
    command = [sys.executable, "-m", "tests.suite", "--collect-only", "-q", "-p", "no:cacheprovider", *few]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    files = list(dict.fromkeys(line.partition("::")[0] for line in done.stdout.splitlines() if "::" in line))
    assert files == [f"tests/{LONGEST[0]}", f"tests/{LONGEST[-1]}", "tests/test_ids.py", "tests/stack/test_demo.py"]


def test_what_passes_alone_has_passed_and_is_named(tmp_path: Path) -> None:
    code, said = suite(tmp_path, "-n", "2", "--dist", "loadfile", fine=FINE, racing=RACING)
    assert code == 0, said
    assert "! 3 failed: again, alone" in said and said.count("E       AssertionError: too late") == 3, "its first failure stays"
    assert "\nFAILED AT FIRST, passed alone: test_racing.py::test_racing - AssertionError: too late" in said
    assert " 4 passed, 3 run again in " in said.splitlines()[-1], said


def test_what_fails_twice_fails_the_run(tmp_path: Path) -> None:
    code, said = suite(tmp_path, fine=FINE, racing=RACING, broken=BROKEN)
    assert code == 1, said
    assert said.count("\nFAILED TWICE: test_broken.py::test_broken[") == 2 and said.count("\nFAILED AT FIRST") == 3, said
    assert " 2 failed, 4 passed, 5 run again in " in said.splitlines()[-1], said


@pytest.mark.parametrize(
    ("text", "words"),
    [(MANY, " 6 failed, 3 passed in "), ("import nothing_of_this_name\n", " 1 error in ")],
    ids=["many", "unreadable"],
)
def test_what_is_no_race_fails_at_once(tmp_path: Path, text: str, words: str) -> None:
    for name in ("racing", "begins", "ends"):
        (tmp_path / name).touch()
    code, said = suite(tmp_path, racing=RACING, odd=text)
    assert code != 0 and words in said.splitlines()[-1] and "again" not in said, said


def test_a_race_hides_no_file_that_cannot_be_read_and_no_worker_that_died(tmp_path: Path) -> None:
    for odd in ("import nothing_of_this_name\n", "import os\ndef test_dies(): os._exit(3)\n"):
        (tmp_path / "racing").unlink(missing_ok=True)
        code, said = suite(tmp_path, "-n", "2", "--dist", "loadfile", "--max-worker-restart", "0", racing=RACING, odd=odd)
        assert code != 0 and "again" not in said, said


def test_no_tests_are_no_pass(tmp_path: Path) -> None:
    code, said = suite(tmp_path)
    assert code == pytest.ExitCode.NO_TESTS_COLLECTED and "no tests ran" in said.splitlines()[-1], said
