"""Writes every dashboard to grafana/dashboards/UID.json, and their recording rules:  python -m grafana.generate [--check]

--check writes nothing and exits with 1 when a file differs from what would be written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from grafana import recording
from grafana.alerts import alerts
from grafana.exporter import exporter
from grafana.overview import overview
from grafana.process import process
from grafana.runs import active, history
from grafana.trends import trends

FOLDER: Final = Path(__file__).parent / "dashboards"
RULES: Final = Path(__file__).parents[1] / "prometheus" / "rules" / "dashboards.yml"


def files() -> dict[Path, str]:
    """Path → the JSON that belongs there."""
    boards = [overview(), process(), active(), history(), trends(), alerts(), exporter()]
    written = {FOLDER / f"{b.uid}.json": JSONEncoder(sort_keys=True, indent=2).encode(b) + "\n" for b in boards}
    return written | {RULES: recording.text()}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m grafana.generate", description="Writes the dashboards as JSON.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a committed file is out of date")
    check = parser.parse_args(arguments).check
    wanted = files()
    present = {path: path.read_text(encoding="utf-8") for path in [*FOLDER.glob("*.json"), *RULES.parent.glob(RULES.name)]}
    stale = sorted({path.name for path in wanted.keys() | present.keys() if wanted.get(path) != present.get(path)})
    if check:
        for name in stale:
            print(f"{name} is out of date: run `make dashboards`", file=sys.stderr)
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for path in present.keys() - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
