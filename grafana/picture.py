"""python -m grafana.picture: draws the Overview for the documents, as it is while the demonstration runs.

The dashboard is the committed one, the answers are those of a real Prometheus that scrapes a real exporter, and what draws them are
Grafana's own components (@grafana/data, @grafana/ui, as grafana/drawing/package.json pins them, but for its table's grid, of which
npm has only the original of Grafana's copy). There is no Grafana server: what its frontend has around the panels (menus, the row
of variables) is not in the pictures. Needs node, npm, prometheus and chromium, and some 600 MB for the components (once).
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench.dashboards import Prometheus, call
from demo.pictures import scene
from playwright.sync_api import Browser, sync_playwright

from grafana.asking import asked, substituted, values

ROOT: Final = Path(__file__).parents[1]
DRAWING: Final = ROOT / "grafana/drawing"
UID: Final = "headway-overview"
# File → theme and width in px.
PICTURES: Final[Mapping[str, tuple[str, int]]] = {"overview.png": ("dark", 1400), "overview-light.png": ("light", 1400)}
TO_LOOK_AT: Final = {f"overview-{theme}-{width}.png": (theme, width) for theme in ("dark", "light") for width in (800, 1920)}
Answers = dict[str, dict[str, Any]]  # id of a panel → refId → instant vector


def components() -> None:
    """Installs them once."""
    if not (DRAWING / "node_modules").exists():
        npm = ("npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        subprocess.run(npm, cwd=DRAWING, check=True)


def bundled(folder: Path) -> Path:
    """A page of all that draws."""
    loaders = (f"--loader:.{kind}=dataurl" for kind in ("woff", "woff2", "ttf", "svg"))
    esbuild = ("node_modules/.bin/esbuild", "draw.jsx", "--bundle", f"--outdir={folder}", "--format=iife", "--jsx=automatic")
    define = ('--define:process.env.NODE_ENV="production"', "--define:global=window", "--minify", "--log-level=error")
    subprocess.run((*esbuild, *define, *loaders), cwd=DRAWING, check=True)
    page = folder / "page.html"
    page.write_text('<!doctype html><link rel="stylesheet" href="draw.css"><div id="root"></div><script src="draw.js"></script>')
    return page


def gathered(folder: Path, seconds: float) -> Answers:
    """What Prometheus answers to the queries of the panels, after so many seconds of the demonstration."""
    binary = shutil.which("prometheus") or str(ROOT / ".headway/bin/prometheus")
    server = Prometheus(binary, folder)
    shutil.copytree(ROOT / "prometheus/rules", folder / "rules")
    with scene(folder) as (url, _):
        target = url.removeprefix("http://")
        usual = {"scrape_interval": "2s", "evaluation_interval": "5s"}
        jobs = [{"job_name": "headway", "static_configs": [{"targets": [target]}]}]
        server.start({"global": usual, "rule_files": ["rules/*.yml"], "scrape_configs": jobs})
        try:
            time.sleep(seconds)
            return answered(server)
        finally:
            server.stop()


def answered(server: Prometheus) -> Answers:
    board = dashboard()
    titles = {panel["title"]: str(panel["id"]) for panel in board["panels"]}
    found: Answers = {}
    for one in asked(UID, board):
        if one.panel in titles and not one.ranged:
            answer = call(f"{server.url}/api/v1/query", {"query": substituted(one.expr, values(board, {}))})
            found.setdefault(titles[one.panel], {})[one.ref] = json.loads(answer)["data"]["result"]
    return found


def dashboard() -> dict[str, Any]:
    board: dict[str, Any] = json.loads((ROOT / "grafana/dashboards" / f"{UID}.json").read_text(encoding="utf-8"))
    return board


def draw(browser: Browser, page_at: Path, answers: Answers, theme: str, width: int, to: Path) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    failed: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(page_at.as_uri())
    page.evaluate("what => draw(what)", {"board": dashboard(), "answers": answers, "theme": theme, "width": width - 32})
    page.wait_for_timeout(1500)
    if failed:
        raise SystemExit("\n".join(failed))
    # The table has room for a hundred rows: what is below its last one is left out.
    last = page.get_by_role("gridcell").last.bounding_box()
    assert last is not None
    bottom = last["y"] + last["height"] + 24
    page.screenshot(path=to, full_page=True, clip={"x": 0, "y": 0, "width": width, "height": bottom})
    page.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--look", type=Path, help="an existing folder for pictures that are 800 and 1920 px wide, too")
    parser.add_argument("--seconds", type=float, default=60, help="how long the demonstration has run")
    parser.add_argument("--answers", type=Path, help="a file: keeps the answers, or draws those that it has")
    options = parser.parse_args()
    components()
    with tempfile.TemporaryDirectory(prefix="headway-picture-") as name:
        folder = Path(name)
        if options.answers and options.answers.exists():
            answers = json.loads(options.answers.read_text())
        else:
            answers = gathered(folder, options.seconds)
            if options.answers:
                options.answers.write_text(json.dumps(answers))
        page = bundled(folder / "bundle")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for name, (theme, width) in PICTURES.items():
                draw(browser, page, answers, theme, width, ROOT / "docs" / name)
            for name, (theme, width) in TO_LOOK_AT.items() if options.look else ():
                draw(browser, page, answers, theme, width, options.look / name)
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
