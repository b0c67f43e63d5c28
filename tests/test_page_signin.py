"""Signing in with a real browser: what it does with the cookie, with links on other sites, and over TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import Browser, expect

from browsing import Visitor
from calling import make_key
from certificates import Authority
from running import RunningExporter

PROCESS = {"name": "linked", "type": "task", "id": "linked"}


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningExporter]:
    """With TLS, and nothing for who does not say who they are."""
    folder = tmp_path_factory.mktemp("signin")
    certificate, key = Authority(folder).issue("exporter", "127.0.0.1")
    config = folder / "web.yml"
    config.write_text(json.dumps({"tls_server_config": {"cert_file": str(certificate), "key_file": str(key)}}))
    flags = ("--web-config-file", str(config), "--anonymous", "none", "--sample-interval", "0.5", "--grafana-url", "none")
    nowhere = ("--prometheus-url", "http://127.0.0.1:9", "--alertmanager-url", "http://127.0.0.1:9")
    found = RunningExporter(folder / "data", (*flags, *nowhere)).start()
    yield found
    found.kill()


@pytest.fixture
def chat(exporter: RunningExporter) -> Iterator[str]:
    """A page of another site (localhost is none of 127.0.0.1's) with a link to a process."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f'<a href="{exporter.url}/processes/linked">a process</a>'.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def test_the_form_fits_a_phone_and_nothing_leads_to_a_grafana_that_is_not_there(
    browser: Browser, exporter: RunningExporter
) -> None:
    visitor = Visitor(browser, exporter, ignore_https_errors=True, viewport={"width": 390, "height": 800})
    try:
        page = visitor.open("/login", live=False)
        width = page.get_by_label("Key").evaluate("field => field.getBoundingClientRect().right")
        assert width <= 390, "the field ends within the screen"
        assert page.evaluate("document.scrollingElement.scrollLeft") == 0, "its focus has not moved the page"
        expect(page.locator("header .elsewhere a")).to_have_text(["Prometheus", "Alertmanager", "API"])
    finally:
        visitor.close()


def test_in_with_a_key_by_a_link_from_elsewhere_and_out_again(
    browser: Browser, exporter: RunningExporter, chat: str, tmp_path: Path
) -> None:
    visitor = Visitor(browser, exporter, ignore_https_errors=True)
    try:
        page = visitor.open("/history", live=False)
        page.wait_for_url("**/login?next=/history")
        page.get_by_label("Key").fill("hw_00000000_" + "x" * 43)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("unknown or was revoked")
        page.get_by_label("Key").fill(make_key(exporter, "operator"))
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/history")
        (cookie,) = visitor.context.cookies()
        assert cookie["name"].startswith("__Host-headway_") and cookie["secure"] and cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
        assert page.evaluate("document.cookie") == "", "no script reads it"
        made = visitor.context.request.post(
            "/api/processes",
            data=PROCESS,
            headers={
                "X-Headway-CSRF": page.locator("meta[name=headway-csrf]").get_attribute("content") or "",
                "Origin": exporter.url,
            },
        )
        assert made.status in (200, 201), made.text()
        page.goto(chat)
        page.get_by_role("link").click()
        page.wait_for_url("**/processes/linked")
        expect(page.get_by_role("heading", level=1)).to_contain_text("linked")
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/login")
        assert visitor.context.cookies() == []
        page.goto(chat)
        page.get_by_role("link").click()
        page.wait_for_url("**/login?next=/processes/linked")
        assert visitor.errors == []
    finally:
        visitor.close()
