"""Calls that are answered before the framework sees them: they are its documented routes, and end like all others."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests

from calling import Api
from headway.api.direct import BASE, BATCH, ONE, route_of
from running import RunningExporter


def parts(*texts: str) -> Iterator[bytes]:
    """A body of unknown length."""
    for text in texts:
        yield text.encode()


def patch(exporter: RunningExporter, path: str, body: Iterator[bytes] | bytes) -> requests.Response:
    return requests.patch(exporter.url + path, data=body, headers={"Content-Type": "application/json"}, timeout=30)


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("PATCH", "/api/processes/a", b"", ONE),
        ("PATCH", "/api/processes/batch", b"", ONE),
        ("PATCH", "/api/processes/", b"", None),
        ("PATCH", "/api/processes/a/b", b"", None),
        ("PATCH", "/api/processes/a", b"x=1", None),
        ("PATCH", "/other", b"", None),
        ("GET", "/api/processes/a", b"", None),
        ("POST", "/api/processes", b"", BASE),
        ("POST", "/api/processes/", b"", None),
        ("POST", "/api/processes/batch", b"", BATCH),
        ("POST", "/api/processes/a", b"", None),
    ],
)
def test_which_calls(method: str, path: str, query: bytes, expected: str | None) -> None:
    assert route_of({"type": "http", "method": method, "path": path, "query_string": query}) == expected


def test_each_is_documented_and_counted_under_its_route(shared_exporter: RunningExporter) -> None:
    document = requests.get(f"{shared_exporter.url}/openapi.json", timeout=30).json()
    api = Api(shared_exporter)
    process_id = api.create()["id"]
    api.update(process_id, progress={"current": 1})
    api.request("POST", BATCH, {"items": [{"id": process_id, "progress": {"current": 2}}]})
    page = requests.get(f"{shared_exporter.url}/metrics", timeout=30).text
    for method, route, code in (("POST", BASE, 201), ("PATCH", ONE, 200), ("POST", BATCH, 200)):
        assert document["paths"][route][method.lower()]["requestBody"]
        line = f'headway_http_requests_total{{code="{code}",method="{method}",route="{route}"}}'
        assert line in page, line


def test_a_body_may_come_in_parts(shared_exporter: RunningExporter) -> None:
    process_id = Api(shared_exporter).create()["id"]
    answer = patch(shared_exporter, f"/api/processes/{process_id}", parts('{"progress": {"cur', 'rent": 5', "}}"))
    assert answer.status_code == 200 and answer.json()["data"]["progress"]["current"] == 5.0
    assert answer.headers["Content-Type"] == "application/json"


def test_a_body_in_parts_has_the_same_limit(shared_exporter: RunningExporter) -> None:
    process_id = Api(shared_exporter).create()["id"]
    answer = patch(shared_exporter, f"/api/processes/{process_id}", parts('{"summary": "', *["x" * 2**20] * 5, '"}'))
    assert answer.status_code == 413 and "max_body_bytes" in answer.json()["detail"]


def test_a_parameter_is_refused_as_by_every_call(shared_exporter: RunningExporter) -> None:
    process_id = Api(shared_exporter).create()["id"]
    answer = patch(shared_exporter, f"/api/processes/{process_id}?dry_run=1", b"{}")
    assert answer.status_code == 422 and "dry_run" in answer.json()["detail"]


def test_a_word_of_a_path_is_no_process(shared_exporter: RunningExporter) -> None:
    assert patch(shared_exporter, "/api/processes/batch", b"{}").status_code == 404
    assert patch(shared_exporter, "/api/processes/%F0%9F%92%A9", b"{}").status_code == 404


def test_ids_in_a_batch_that_nobody_has_are_looked_at(shared_exporter: RunningExporter) -> None:
    api = Api(shared_exporter)
    process_id = api.create()["id"]
    items = [{"id": process_id, "progress": {"current": 1}}, {"id": "no such", "progress": {"current": 1}}, {"id": "nobody"}]
    status, answer = api.request("POST", BATCH, {"items": items})
    assert status == 200 and [one["status"] for one in answer["data"]] == [200, 422, 404]
    assert answer["data"][0] == {"id": process_id, "status": 200, "cancel_requested": False}
    assert json.dumps(answer["data"][2]["error"]).count("nobody") == 1
