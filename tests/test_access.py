"""Who may do what: keys, roles, users, hosts and origins, on a real exporter."""

from __future__ import annotations

import subprocess
import sys

import pytest
import requests

from calling import Api, make_key
from running import RunningExporter, Starter
from waiting import wait_until

NEW = {"name": "job", "type": "task"}


def test_on_loopback_without_a_key_one_may_read_and_report_but_not_control(exporter: RunningExporter) -> None:
    api = Api(exporter)
    created = api.create()
    api.update(created["id"], progress={"current": 1})
    status, problem = api.request("POST", f"/api/processes/{created['id']}/cancel")
    assert status == 403 and "operator" in problem["detail"]
    assert Api(exporter, exporter.key).request("POST", f"/api/processes/{created['id']}/cancel")[0] == 202
    api.update(created["id"], status="failed")
    assert api.request("DELETE", f"/api/processes/{created['id']}")[0] == 200
    said = wait_until(lambda: [line for line in exporter.output if " dismiss process " in line], 30, "it in the audit")
    assert '"anonymous" (reporter): done: "dismissed"' in said[0]


def test_the_first_start_makes_a_key_that_only_its_owner_can_read(exporter: RunningExporter) -> None:
    assert (exporter.data_dir / "admin.key").stat().st_mode & 0o777 == 0o600
    assert exporter.key not in (exporter.data_dir / "keys.json").read_text()
    first = exporter.key
    exporter.restart()
    assert exporter.key == first


def test_creation_needs_a_key_once_one_is_configured(exporter: RunningExporter) -> None:
    anonymous = Api(exporter)
    anonymous.create(id="before")
    reporter = Api(exporter, make_key(exporter, "reporter"))
    status, problem = anonymous.request("POST", "/api/processes", NEW)
    assert status == 403 and "reporter" in problem["detail"]
    assert anonymous.list("state=all") == ["before"], "reading still needs none on loopback"
    reporter.create(id="after")


@pytest.mark.parametrize(
    ("role", "read", "create", "cancel"),
    [("viewer", 200, 403, 403), ("reporter", 200, 201, 403), ("operator", 200, 201, 202), ("admin", 200, 201, 202)],
)
def test_roles(exporter: RunningExporter, role: str, read: int, create: int, cancel: int) -> None:
    Api(exporter, exporter.key).create(id="target")
    caller = Api(exporter, make_key(exporter, role))
    assert caller.request("GET", "/api/processes")[0] == read
    assert caller.request("POST", "/api/processes", NEW)[0] == create
    assert caller.request("POST", "/api/processes/target/cancel")[0] == cancel


def test_a_key_bound_to_a_user_sees_and_reports_only_that_user(exporter: RunningExporter) -> None:
    admin = Api(exporter, exporter.key)
    admin.create(id="bobs", user="bob")
    admin.create(id="nobodys")
    ann = Api(exporter, make_key(exporter, "operator", "--user", "ann"))
    assert ann.create(id="anns")["user"] == "ann"
    assert ann.request("POST", "/api/processes", NEW | {"user": "bob"})[0] == 403
    for state in ("active", "all"):
        assert ann.list(f"state={state}") == ["anns"]
    assert ann.request("GET", "/api/processes?user=bob")[0] == 422
    for method, path, body in (
        ("GET", "/api/processes/bobs", None),
        ("GET", "/api/processes/bobs/output", None),
        ("PATCH", "/api/processes/bobs", {"status": "done"}),
        ("POST", "/api/processes/bobs/cancel", None),
        ("DELETE", "/api/processes/bobs", None),
    ):
        assert ann.request(method, path, body)[0] == 404, (method, path)
    _status, answer = ann.request("POST", "/api/processes/batch", {"items": [{"id": "bobs", "status": "done"}]})
    assert answer["data"][0]["status"] == 404
    assert ann.request("POST", "/api/processes", NEW | {"id": "bobs"})[0] == 409
    assert ann.request("GET", "/api/processes/stats")[1]["data"]["total"] == 1
    assert "bobs" not in ann.raw("GET", "/processes").text and "anns" in ann.raw("GET", "/processes").text


def test_a_key_bound_to_a_user_learns_no_names_of_others(exporter: RunningExporter) -> None:
    """Not from what is said about its own processes either."""
    admin, work = Api(exporter, exporter.key), {"command": "make all", "cwd": "/srv/x"}
    admin.create(id="bobs-secret-job", name="bobs-secret-name", user="bob", **work)
    admin.create(id="anns", name="again", user="ann", **work)
    admin.create(id="anns-own", name="alike", user="ann", command="make docs", cwd="/srv/x")
    admin.create(id="anns-other", name="twice", user="ann", command="make docs", cwd="/srv/x")

    admin.create(id="bobs-child", name="bobs-nested", user="bob", parent_id="anns")
    admin.create(id="anns-child", name="hers", user="ann", parent_id="anns")

    def flags(api: Api, process: str) -> list[str]:
        return [condition["reason"] for condition in api.get(process)["conditions"]]

    wait_until(lambda: flags(admin, "anns") and flags(admin, "anns-other"), 30, "duplicates")
    ann = Api(exporter, make_key(exporter, "reporter", "--user", "ann"))
    assert "bobs-secret-name" in flags(admin, "anns")[0]
    assert flags(ann, "anns")[0].startswith("same command and directory as another process, which started")
    assert "alike (anns-own)" in flags(ann, "anns-other")[0], "her own are named"
    page = {"Accept": "text/html"}
    for path in ("/api/processes?state=all", "/api/processes/anns", "/api/processes/analyze", "/api/processes/report"):
        assert "bobs" not in ann.raw("GET", path).text, path
    assert "bobs" not in ann.raw("GET", "/api/processes/anns/tree").text
    assert [child["id"] for child in ann.get("anns")["children"]] == ["anns-child"]
    assert {child["id"] for child in admin.get("anns")["children"]} == {"anns-child", "bobs-child"}
    for path in ("/processes", "/processes/anns", "/attention"):
        assert (
            "another process" in ann.raw("GET", path, headers=page).text and "bobs" not in ann.raw("GET", path, headers=page).text
        )
    assert "bobs" not in ann.raw("PATCH", "/api/processes/anns", json={"progress": {"current": 1}}).text
    with ann.raw("GET", "/api/processes/stream", stream=True) as stream:
        events = b"".join(part for part, _ in zip(stream.iter_content(None), range(2), strict=False))
    assert b"another process" in events and b"bobs" not in events


def test_unknown_and_revoked_keys_are_refused_even_on_loopback(exporter: RunningExporter) -> None:
    text = make_key(exporter, "admin")
    assert Api(exporter, text).request("GET", "/api/processes")[0] == 200
    subprocess.run(
        [sys.executable, "-m", "headway", "key", "revoke", text.split("_")[1], "--data-dir", str(exporter.data_dir)],
        check=True,
        capture_output=True,
    )
    for key in (text, "hw_00000000_" + "x" * 43, "nonsense"):
        answer = Api(exporter, key).raw("GET", "/api/processes")
        assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")


def test_behind_a_proxy_everybody_needs_a_key(exporter: RunningExporter) -> None:
    api = Api(exporter)
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        assert api.raw("GET", "/api/processes", headers={header: "203.0.113.9"}).status_code == 401
        assert api.raw("GET", "/metrics", headers={header: "203.0.113.9"}).status_code == 401


def test_anonymous_can_be_switched_off(start_exporter: Starter) -> None:
    exporter = start_exporter("--anonymous", "none")
    assert Api(exporter).request("GET", "/api/processes")[0] == 401
    assert Api(exporter, exporter.key).request("GET", "/api/processes")[0] == 200


def test_requests_for_another_host_are_refused(exporter: RunningExporter, start_exporter: Starter) -> None:
    api = Api(exporter)
    for host in ("evil.example", f"evil.example:{exporter.port}", "127.0.0.1.evil.example", ""):
        assert api.raw("GET", "/api/processes", headers={"Host": host}).status_code in (400, 403), host
    for host in ("localhost", f"localhost:{exporter.port}", "127.0.0.1", "[::1]:80"):
        assert api.raw("GET", "/api/processes", headers={"Host": host}).status_code == 200, host
    listed = start_exporter("--allowed-hosts", "exporter")
    assert Api(listed).raw("GET", "/api/processes", headers={"Host": "exporter:14323"}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 201),
    ],
)
def test_pages_of_other_sites_change_nothing(shared_exporter: RunningExporter, headers: dict[str, str], status: int) -> None:
    body = b'{"name":"job","type":"task"}'
    for key in (None, shared_exporter.key):
        answer = Api(shared_exporter, key).raw(
            "POST", "/api/processes", data=body, headers={"Content-Type": "application/json"} | headers
        )
        assert answer.status_code == status, answer.text
    assert "access-control-allow-origin" not in answer.headers


def test_our_own_pages_may(shared_exporter: RunningExporter) -> None:
    origin = shared_exporter.url
    answer = requests.post(f"{origin}/api/processes", json=NEW, headers={"Origin": origin}, timeout=30)
    assert answer.status_code == 201


def test_the_body_has_a_limit_also_without_a_length(start_exporter: Starter) -> None:
    exporter = start_exporter("--max-body-bytes", "2000")
    api = Api(exporter)
    big = b'{"name":"job","type":"task","description":"' + b"x" * 3000 + b'"}'
    headers = {"Content-Type": "application/json"}
    for body in (big, iter([big[:1500], big[1500:]])):
        answer = api.raw("POST", "/api/processes", data=body, headers=headers)
        assert answer.status_code == 413 and "max_body_bytes" in answer.json()["detail"]
