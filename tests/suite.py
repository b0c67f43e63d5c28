"""What `make test` runs: every test, and if only a few fail, these once more, alone, in a process of their own.

`python -m tests.suite ARGS` is `python -m pytest ARGS`, and then this. What raced with a busy machine passes the second time and is
named at the end with its first failure; what fails twice has failed. Fixtures begin anew, so nothing is left of the first time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import pytest

# More than these fail for a reason of their own, which a second time does not change.
FEW: Final = 5
WIDTH: Final = 100
# What takes longest is begun first: begun last, it would keep one worker busy after all others are done.
LONGEST: Final = (
    *(
        "stack/test_chat.py",
        "stack/test_every_gate.py",
        "stack/test_messages.py",
        "stack/test_make.py",
        "stack/test_alerting.py",
        "stack/test_pipeline.py",
    ),
    *("test_openapi.py", "test_cli_services.py", "test_services.py", "test_page_active.py", "test_cli_report.py", "test_mcp.py"),
    *("test_durability.py", "test_discovery.py", "test_control.py", "test_webconfig.py", "test_cli_control.py", "test_shipping.py"),
    *(
        "test_liveness.py",
        "test_cli_client.py",
        "test_page_views.py",
        "test_page_process.py",
        "test_reporter_endings.py",
        "test_reporter_forks.py",
    ),
    *("test_access.py", "test_sampler.py", "test_cli.py", "test_retry.py", "test_run.py", "test_signin.py", "test_analysis_api.py"),
    *(
        "test_reporter_failures.py",
        "test_services_adopted.py",
        "test_services_outlive.py",
        "test_announcing.py",
        "test_memory_growth.py",
        "test_transcripts.py",
        "test_used.py",
        "test_verdicts.py",
        "stack/test_verdicts_agree.py",
        "stack/test_announcements.py",
        "stack/test_alerting_cli.py",
    ),
)


@dataclass(eq=False)  # plugins are kept in sets
class Tally:
    """The plugin of a run: its tests by outcome, as pytest names them, and of each that failed the words of its first failure.
    `whole`: every test file could be read, and no worker died, so that every test ran."""

    outcomes: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    whole: bool = True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.whole = self.whole and not report.failed

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, error: object) -> None:
        self.whole = self.whole and error is None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.setdefault(report.nodeid, said(report))
            self.outcomes[report.nodeid] = "failed" if report.when != "teardown" else "error"
        elif report.nodeid not in self.failed and (report.when == "call" or report.skipped):
            xfailed = hasattr(report, "wasxfail")
            self.outcomes[report.nodeid] = ("xfailed" if report.skipped else "xpassed") if xfailed else report.outcome


def said(report: pytest.TestReport) -> str:
    """The first line of what pytest says of a failure."""
    crash = getattr(report.longrepr, "reprcrash", None)
    return (crash.message if crash is not None else str(report.longrepr)).strip().partition("\n")[0]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tally", type=Path, help="where the outcomes are written, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--tally") is not None and not hasattr(config, "workerinput"):
        config.stash[TALLY] = Tally()
        config.pluginmanager.register(config.stash[TALLY])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    place = {config.rootpath / "tests" / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_unconfigure(config: pytest.Config) -> None:
    if TALLY in config.stash:
        config.getoption("--tally").write_text(json.dumps(asdict(config.stash[TALLY])))


TALLY: Final = pytest.StashKey[Tally]()


def run(arguments: Sequence[str], folder: Path) -> tuple[int, Tally]:
    """pytest in a process of its own, its exit code, and the outcomes."""
    written = folder / "tally.json"
    written.unlink(missing_ok=True)
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "tests.suite", "--tally", str(written), *arguments])
    return done.returncode, Tally(**json.loads(written.read_text())) if written.exists() else Tally()


def main(arguments: Sequence[str]) -> int:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        code, first = run(arguments, Path(folder))
        if code != pytest.ExitCode.TESTS_FAILED or not first.whole or not 0 < len(first.failed) <= FEW:
            return code
        print(f"\n{f' {len(first.failed)} failed: again, alone, in a process of their own ':!^{WIDTH}}", flush=True)
        code, second = run(list(first.failed), Path(folder))
    twice = [test for test in first.failed if second.outcomes.get(test) != "passed"]
    print(f"\n{' what failed at first ':=^{WIDTH}}")
    for test, words in first.failed.items():
        print(f"{'FAILED TWICE:' if test in twice else 'FAILED AT FIRST, passed alone:'} {test} - {words}")
    counts = Counter((first.outcomes | second.outcomes).values())
    print(summary(counts, len(first.failed), time.monotonic() - started), flush=True)
    return pytest.ExitCode.OK if not twice and code == pytest.ExitCode.OK else code or pytest.ExitCode.TESTS_FAILED


def summary(counts: Counter[str], again: int, seconds: float) -> str:
    """As pytest ends: what became of all tests in the end."""
    order = ("failed", "passed", "skipped", "xfailed", "xpassed", "error")
    words = ", ".join(f"{counts[one]} {one}" for one in order if counts[one])
    return f"{f' {words}, {again} run again in {seconds:.2f}s ':=^{WIDTH}}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
