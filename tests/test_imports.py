"""The direction of imports, held as data: a module imports from its own layer or those below, and the reporter from nobody."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "exporter" / "headway"
# Lowest first. A pattern names modules below `headway`; a package's `__init__` goes by the name of the package.
LAYERS = (
    (
        "version",
        "durations",
        "figures",
        "cleaning",
        "costs",
        "datadir",
        "extras",
        "garbage",
        "ids",
        "folding",
        "labels",
        "masking",
        "notify",
        "own_values",
        "places",
        "turns",
        "used",
        "wholefile",
    ),
    ("model", "errors", "forms", "resources"),
    ("samples", "view", "repetition"),
    ("settings", "gates", "estimate", "forecast", "shape", "names", "duplicates", "keys", "sessions", "guesses"),
    ("name_gates",),
    ("faults",),
    (
        "yamlfile",
        "services.definition",
        "discovery.rule",
        "announcing.rule",
        "polling",
        "polling.definition",
        "expecting",
        "expecting.definition",
    ),
    (
        "services",
        "services.cron",
        "services.reading",
        "discovery",
        "discovery.reading",
        "announcing",
        "announcing.reading",
        "polling.reading",
        "expecting.reading",
        "expecting.judging",
        "polling.picking",
    ),
    ("webconfig", "webconfig.*"),
    ("configuration", "explanation", "effective"),
    ("analysis", "analysis.*"),
    ("promql",),
    ("alerting", "alerting.*"),
    ("store", "store.*", "sampler", "sampler.*", "ending", "ending.*", "metrics", "metrics.*", "schemas", "schemas.*"),
    ("shipping", "shipping.*"),
    ("discovery.pidfile", "discovery.judging", "discovery.finder"),
    ("registry", "registry.*"),
    (
        "control",
        "control.*",
        "discovery.discovery",
        "announcing.words",
        "announcing.outbox",
        "announcing.announcer",
        "transcripts",
        "transcripts.*",
        "permissions",
        "permissions.*",
        "expecting.watch",
        "polling.asking",
        "polling.poller",
    ),
    ("supervisor", "supervisor.*"),
    (
        *("services.phase", "services.memory", "services.probe", "services.recognition", "services.launching"),
        *(
            "services.schedule",
            "services.answering",
            "services.attempt",
            "services.unit",
            "services.supervisor",
            "services.figures",
        ),
    ),
    ("collector", "intake", "api", "api.*"),
    ("app", "hook", "hook.*", "mcp", "mcp.*"),
    ("server",),
    ("cli", "cli.*"),
    ("__main__",),
)
# The client side stands apart: scripts import it, and it imports only this of the rest.
REPORTER = ("reporter", "reporter.*", "integrations", "integrations.*")
OPEN_TO_REPORTER = {"", "version", "cleaning", "durations", "ids", "labels", "places"}
USERS_OF_REPORTER = ("", "intake", "app", "mcp.*", "cli.*", *REPORTER)
# Nothing but the standard library, and each other.
PURE = (
    *(
        "version",
        "durations",
        "figures",
        "cleaning",
        "costs",
        "ids",
        "labels",
        "masking",
        "own_values",
        "used",
        "model",
        "errors",
        "forms",
        "samples",
        "view",
    ),
    *("datadir", "garbage", "turns"),
    *("settings", "gates", "estimate", "forecast", "shape", "names", "name_gates", "duplicates"),
    *(f"analysis.{name}" for name in ("findings", "forecasts", "history", "messages", "name_advice", "numbers", "patterns")),
    *(
        f"analysis.{name}"
        for name in ("recommendation", "recommendations", "report", "services", "spending", "suggestion", "trends", "whole")
    ),
)


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def is_in(module: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(module, pattern) for pattern in patterns)


def layer(module: str) -> int | None:
    return next((number for number, patterns in enumerate(LAYERS) if is_in(module, patterns)), None)


def imports(module: str, *, at_start_only: bool = False) -> Iterator[tuple[str, int]]:
    """(name of the imported module, line). `at_start_only`: without those in functions and for type checkers."""
    stack: list[ast.AST] = [ast.parse(MODULES[module].read_text(encoding="utf-8"))]
    while stack:
        node = stack.pop()
        if at_start_only:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                stack += node.orelse
                continue
        stack += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: relative import"
            source = node.module or ""
            # `from headway.api import pages` may import a module.
            submodules = [f"{source}.{alias.name}" for alias in node.names if ours(f"{source}.{alias.name}") in MODULES]
            for name in submodules or [source]:
                yield name, node.lineno


def ours(name: str) -> str | None:
    """The module's name within the package; None for other packages."""
    if name == "headway":
        return ""
    return name.removeprefix("headway.") if name.startswith("headway.") else None


def of_headway(module: str, *, at_start_only: bool = False) -> Iterator[tuple[str, int]]:
    for name, line in imports(module, at_start_only=at_start_only):
        target = ours(name)
        if target is not None:
            yield target, line


def test_every_module_has_its_place() -> None:
    placed = {module: [is_in(module, patterns) for patterns in (*LAYERS, REPORTER)].count(True) for module in MODULES if module}
    assert {module: count for module, count in placed.items() if count != 1} == {}
    known = {pattern for patterns in (*LAYERS, REPORTER) for pattern in patterns} - {"supervisor"}
    assert {pattern for pattern in known if not any(fnmatchcase(module, pattern) for module in MODULES)} == set()


@pytest.mark.parametrize("module", sorted(set(MODULES) - {""}))
def test_imports_point_one_way(module: str) -> None:
    own = layer(module)
    for target, line in of_headway(module):
        where = f"{module} line {line} imports {target or 'headway'}"
        if is_in(module, REPORTER):
            assert target in OPEN_TO_REPORTER or is_in(target, REPORTER), f"{where}: the reporter imports nothing of the server"
        elif is_in(target, REPORTER) or target == "":
            assert is_in(module, USERS_OF_REPORTER), f"{where}: the server does not need the reporter there"
        else:
            other = layer(target)
            assert own is not None and other is not None and other <= own, f"{where}, which lies above it"


@pytest.mark.parametrize("module", PURE)
def test_the_core_needs_only_the_standard_library(module: str) -> None:
    for name, line in imports(module):
        target = ours(name)
        if target is None:
            assert name.split(".")[0] in sys.stdlib_module_names, f"{module} line {line} imports {name}"
        else:
            assert target in PURE, f"{module} line {line} imports {name}"


def test_no_module_needs_itself() -> None:
    graph = {module: {target for target, _ in of_headway(module, at_start_only=True)} - {module} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" → ".join(error.args[1])) from None


HEAVY = (
    "requests",
    "urllib3",
    "msgspec",
    "fastapi",
    "starlette",
    "uvicorn",
    "pydantic",
    "psutil",
    "yaml",
    "rich",
    "prometheus_client",
)


@pytest.mark.parametrize(
    ("statement", "unloaded"),
    [
        ("import headway", (*HEAVY, "headway.model", "headway.settings", "headway.reporter")),
        ("from headway import Reporter, track", (*HEAVY, "headway.model", "headway.settings", "headway.store", "headway.api")),
        (
            "from headway.cli.main import build_parser; build_parser()",
            (*HEAVY, "headway.app", "headway.server", "headway.api", "shtab"),
        ),
        (
            "from headway.cli.main import build_parser; build_parser('ps')",
            (*HEAVY, "headway.model", "headway.settings", "headway.keys"),
        ),
        # Each start of the exporter would wait for what the first of some requests needs.
        (
            "import headway.server",
            ("fastapi", "pydantic", "jinja2", "requests", "urllib3", "yaml", "psutil", "rich", "bcrypt", "mcp"),
        ),
        ("import headway.configuration", HEAVY),
        ("import headway.gates, headway.estimate, headway.names", HEAVY),
    ],
)
def test_what_an_import_does_not_load(statement: str, unloaded: tuple[str, ...]) -> None:
    code = f"import sys; {statement}; print(*sorted(sys.modules))"
    child = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(child.stdout.split())
    assert loaded & set(unloaded) == set()
