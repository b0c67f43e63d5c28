"""A real browser on the exporter's own pages: Debian's Chromium, driven by Playwright; one for each test module."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from running import RunningExporter
from waiting import wait_until

# A loaded machine is slow, not wrong.
DEADLINE = 30_000
expect.set_options(timeout=DEADLINE)


@contextmanager
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path is not None, "chromium is not on this machine: make test installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


class Visitor:
    """One person at one browser. What the page's scripts complain about is in `errors`."""

    def __init__(self, browser: Browser, exporter: RunningExporter, **options: Any) -> None:
        self.exporter = exporter
        self.context: BrowserContext = browser.new_context(base_url=exporter.url, reduced_motion="reduce", **options)
        self.context.set_default_timeout(DEADLINE)
        self.errors: list[str] = []

    def open(self, path: str, live: bool = True) -> Page:
        """A new tab; `live`: once its script runs and hears from the exporter."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if "Content Security" in message.text else None)
        page.goto(path)
        if live:
            until_live(page)
        return page

    def sign_in(self, key: str, path: str = "/") -> Page:
        page = self.open(f"/login?next={quote(path)}", live=False)
        page.get_by_label("Key").fill(key)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"**{path}")
        until_live(page)
        return page

    def close(self) -> None:
        self.context.close()
        assert self.errors == [], self.errors


def until_live(page: Page) -> None:
    """Until the page hears from the exporter. Not by `expect`, which draws up the whole page at each look that fails."""
    until(page, "document.getElementById('connection')?.dataset.state === 'live'")


def until(page: Page, expression: str) -> None:
    """Until this is true in the page, whose policy forbids what `wait_for_function` does."""
    wait_until(lambda: page.evaluate(expression), DEADLINE / 1000, expression, interval=0.1)


def axe(page: Page) -> list[str]:
    """What axe finds serious or critical, in words."""
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']} ({one['impact']}): {json.dumps([node['html'][:200] for node in one['nodes'][:3]])}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
