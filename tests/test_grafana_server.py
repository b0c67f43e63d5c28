"""The dashboards in a real Grafana, where HEADWAY_GRAFANA_URL points to one: it takes them, answers every query, and draws them.

HEADWAY_GRAFANA_TOKEN: of a service account that may write dashboards. It needs a Prometheus with the uid `prometheus` that scrapes
an exporter and has our rules. HEADWAY_GRAFANA_PICTURES: a folder for pictures of what was drawn.
"""

from __future__ import annotations

import os
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import requests
from grafana.asking import asked, step, substituted, time_range, values

from dashboards import BOARDS, CHOSEN

URL = os.environ.get("HEADWAY_GRAFANA_URL", "").rstrip("/")
HEADERS = {"Authorization": f"Bearer {token}"} if (token := os.environ.get("HEADWAY_GRAFANA_TOKEN")) else {}

pytestmark = [
    pytest.mark.stack,
    pytest.mark.skipif(not URL, reason="HEADWAY_GRAFANA_URL is not set: no Grafana to try the dashboards in"),
]


def call(path: str, body: Any) -> Any:
    answer = requests.post(f"{URL}{path}", json=body, headers=HEADERS, timeout=60)
    assert answer.ok, f"{path}: {answer.status_code} {answer.text[:500]}"
    return answer.json()


@pytest.fixture(scope="module", autouse=True)
def provisioned() -> None:
    for board in BOARDS.values():
        call("/api/dashboards/db", {"dashboard": {**board, "id": None}, "overwrite": True, "message": "headway tests"})


@pytest.mark.parametrize("uid", BOARDS)
def test_grafana_answers_every_query(uid: str) -> None:
    board, now = BOARDS[uid], time.time()
    for one in asked(uid, board):
        query = {
            "refId": one.ref,
            "datasource": {"type": "prometheus", "uid": "prometheus"},
            "expr": substituted(one.expr, values(board, CHOSEN, one.points, one.interval)),
            "range": one.ranged,
            "instant": not one.ranged,
            "intervalMs": 1000 * step(board, one.points, one.interval),
            "maxDataPoints": one.points,
        }
        span = {"from": f"{1000 * (now - time_range(board)):.0f}", "to": f"{1000 * now:.0f}"}
        found = call("/api/ds/query", {"queries": [query], **span})["results"][one.ref]
        assert found.get("status", 200) == 200 and "error" not in found, f"{one.panel}/{one.ref}: {found.get('error')}"


@pytest.mark.skipif(find_spec("playwright") is None, reason="there is no playwright here")
@pytest.mark.parametrize("uid", BOARDS)
def test_chromium_draws_it_without_an_error(uid: str) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": 1600, "height": 1400}, extra_http_headers=HEADERS)
            page.goto(f"{URL}/d/{uid}?kiosk", wait_until="networkidle", timeout=60_000)
            page.wait_for_selector("[data-viz-panel-key], .react-grid-item", timeout=60_000)
            if folder := os.environ.get("HEADWAY_GRAFANA_PICTURES"):
                page.screenshot(path=str(Path(folder) / f"{uid}.png"), full_page=True)
            errors = page.locator('[data-testid="data-testid Panel status error"]')
            assert errors.count() == 0, [errors.nth(n).get_attribute("aria-label") for n in range(errors.count())]
        finally:
            browser.close()
