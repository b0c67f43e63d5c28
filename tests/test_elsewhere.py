"""Links of the pages to Grafana, Prometheus and Alertmanager lead somewhere."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests

from headway.api.elsewhere import Elsewhere
from headway.settings import Settings
from running import Starter


class Place(ThreadingHTTPServer):
    """Answers one path with JSON, all others with a page of its own, as many programs do."""

    path = ""
    body: Mapping[str, object] = {"status": "success"}

    def __init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                known = self.path == outer.path
                self.wfile.write(json.dumps(outer.body).encode() if known else b"<title>Another program</title>")

            def log_message(self, format: str, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture
def place() -> Iterator[Place]:
    found = Place()
    threading.Thread(target=found.serve_forever, args=(0.02,), daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


def links(elsewhere: Elsewhere) -> list[str]:
    asyncio.run(elsewhere.look())
    return [name for name, _ in elsewhere.links()]


def test_who_is_not_configured_is_linked_to_while_it_is_there(place: Place) -> None:
    nobody = "http://127.0.0.1:9"
    settings = Settings(grafana_url=nobody, prometheus_url=place.url, alertmanager_url=nobody)
    elsewhere = Elsewhere(settings, ())
    assert elsewhere.links() == [] and links(elsewhere) == [], "another program has the port"
    place.path, place.body = "/api/v1/status/buildinfo", {"status": "success", "data": {}}
    assert links(elsewhere) == ["Prometheus"] and elsewhere.links() == [("Prometheus", place.url)]
    place.path = ""
    assert links(elsewhere) == []


@pytest.mark.parametrize(
    ("setting", "path", "field", "name"),
    [("grafana_url", "/api/health", "database", "Grafana"), ("alertmanager_url", "/api/v2/status", "versionInfo", "Alertmanager")],
)
def test_each_is_known_by_what_only_it_says(place: Place, setting: str, path: str, field: str, name: str) -> None:
    nowhere = dict.fromkeys(("grafana_url", "prometheus_url", "alertmanager_url"), "http://127.0.0.1:9")
    place.path, place.body = path, {field: "ok"}
    assert links(Elsewhere(Settings(**(nowhere | {setting: place.url})), ())) == [name]  # type: ignore[arg-type]


def test_who_is_configured_is_linked_to_in_any_case_and_nobody_where_there_is_none(start_exporter: Starter) -> None:
    exporter = start_exporter("--grafana-url", "none", "--prometheus-url", "http://prometheus.example:9090")
    page = requests.get(f"{exporter.url}/processes", timeout=30).text
    elsewhere = re.search(r'aria-label="Elsewhere">(.*?)</nav>', page, re.DOTALL)
    assert elsewhere is not None and '<a href="http://prometheus.example:9090">Prometheus</a>' in elsewhere[1]
    assert "Grafana" not in elsewhere[1] and "/docs" in elsewhere[1]
