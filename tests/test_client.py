"""headway.Client against a real exporter: a method for every call, and errors that say what to do."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from headway import Client
from headway.reporter.client import ApiError, Event, Unreachable
from running import RunningExporter, Starter
from waiting import wait_until

NOWHERE = "http://127.0.0.1:9"
# Every operation of the API and the methods that make it.
METHODS = {
    ("get", "/api/processes"): ("list", "page", "iterate"),
    ("post", "/api/processes"): ("create",),
    ("post", "/api/processes/batch"): ("batch",),
    ("get", "/api/processes/stats"): ("stats",),
    ("get", "/api/processes/analyze"): ("analyze",),
    ("get", "/api/processes/report"): ("report", "report_parts"),
    ("get", "/api/processes/suggest"): ("suggest",),
    ("get", "/api/processes/trends"): ("trends",),
    ("get", "/api/processes/stream"): ("stream",),
    ("get", "/api/processes/{id}"): ("get",),
    ("patch", "/api/processes/{id}"): ("update",),
    ("delete", "/api/processes/{id}"): ("dismiss",),
    ("post", "/api/processes/{id}/cancel"): ("cancel",),
    ("post", "/api/processes/track"): ("track",),
    ("post", "/api/processes/{id}/kill"): ("kill",),
    ("post", "/api/processes/{id}/pause"): ("pause",),
    ("post", "/api/processes/{id}/resume"): ("resume",),
    ("post", "/api/processes/{id}/retry"): ("retry",),
    ("get", "/api/processes/{id}/tree"): ("tree",),
    ("post", "/api/processes/kill"): ("kill_scope",),
    ("post", "/api/processes/cleanup"): ("cleanup",),
    ("get", "/api/processes/{id}/output"): ("output", "follow"),
    ("get", "/api/discovered"): ("discovered",),
    ("get", "/api/integrations"): ("integrations",),
    ("get", "/api/settings"): ("settings",),
    ("get", "/api/processes/status"): ("services",),
    ("post", "/api/processes/start"): ("start",),
    ("post", "/api/processes/stop"): ("stop",),
    ("post", "/api/processes/restart"): ("restart",),
    ("post", "/api/processes/start-all"): ("start_all",),
    ("post", "/api/processes/stop-all"): ("stop_all",),
    ("get", "/api/processes/{name}/logs"): ("logs", "follow_logs"),
    ("get", "/health"): ("health",),
    ("get", "/ready"): ("ready",),
    ("get", "/metrics"): ("metrics",),
}


@pytest.fixture
def client(shared_exporter: RunningExporter) -> Iterator[Client]:
    """As a script on this machine: without a key."""
    with Client(shared_exporter.url) as made:
        yield made


@pytest.fixture
def operator(shared_exporter: RunningExporter) -> Iterator[Client]:
    with Client(shared_exporter.url, shared_exporter.key) as made:
        yield made


def test_every_call_of_the_api_has_a_method(client: Client) -> None:
    document = client._session.get(f"{client.url}/openapi.json", timeout=30).json()
    operations = {(verb, path) for path, verbs in document["paths"].items() for verb in verbs}
    # What Alertmanager calls is nothing that a program does.
    assert operations - {("post", "/api/alerting/relay/{receiver}")} == METHODS.keys()
    named = {name for names in METHODS.values() for name in names} | {"close"}
    public = {name for name in vars(Client) if not name.startswith("_")}
    assert public == named


def test_create_get_update_dismiss(client: Client) -> None:
    made = client.create("Compile", "pipeline", id="client-life", progress={"total": 8, "unit": "files"}, project="client")
    assert (made["id"], made["status"], made["type"]) == ("client-life", "running", "pipeline")
    assert made["progress"]["total"] == 8
    again = client.create("Compile", "pipeline", id="client-life", progress={"total": 8, "unit": "files"}, project="client")
    assert again["created_at"] == made["created_at"]
    updated = client.update("client-life", progress={"current": 2}, stage="parse", log=["one", "two"], metadata={"a": 1})
    assert updated["progress"]["ratio"] == 0.25
    assert (updated["stage"], updated["cancel_requested"], updated["log_tail"]) == ("parse", False, ["two"])
    ended = client.update("client-life", status="failed", error="no space left", exit_code=3)
    assert (ended["status"], ended["error"], ended["exit_code"]) == ("failed", "no space left", 3)
    assert "ignored" not in ended
    late = client.update("client-life", progress={"current": 3}, log="three")
    assert late["ignored"]["fields"] == ["progress"] and "failed" in late["ignored"]["reason"]
    found = client.get("client-life")
    assert found["log_tail"] == ["one", "two", "three"]
    assert [step["to"] for step in found["transitions"]] == ["running", "failed"]
    assert client.dismiss("client-life")["dismissed_at"]
    assert client.get("client-life")["status"] == "failed"


def test_list_filters_and_iterate_pages(client: Client) -> None:
    began = datetime.now(UTC)
    ids = [client.create(f"n{i}", "subagent" if i % 2 else "cron", project="client-list", executor=i == 0)["id"] for i in range(7)]
    client.update(ids[3], status="done")
    running = [process["id"] for process in client.list(project="client-list")]
    assert running == [i for i in reversed(ids) if i != ids[3]]
    assert [p["id"] for p in client.list(project="client-list", limit=2)] == running[:2]
    assert [p["id"] for p in client.iterate(project="client-list", limit=2)] == running
    assert [p["id"] for p in client.iterate(project="client-list", state="all", limit=3)] == list(reversed(ids))
    assert [p["id"] for p in client.list(project="client-list", state=["done", "failed"])] == [ids[3]]
    assert {p["type"] for p in client.list(project="client-list", type="cron")} == {"cron"}
    assert [p["id"] for p in client.list(project="client-list", executors_only=True)] == [ids[0]]
    assert len(client.list(project="client-list", since=began, parent=None)) == 6
    assert client.list(project="client-list", name="n3") == []


def test_children(client: Client) -> None:
    parent = client.create("parent")["id"]
    child = client.create("child", parent_id=parent)["id"]
    assert [below["id"] for below in client.get(parent)["children"]] == [child]
    assert [p["id"] for p in client.list(parent=parent)] == [child]


def test_batch_has_a_result_for_each_item(client: Client) -> None:
    results = client.batch(
        (
            {"id": "client-batch", "create": {"name": "b", "type": "task"}, "progress": {"current": 1}},
            {"id": "client-batch-nobody", "stage": "x"},
            {"id": "client-batch", "progress": {"current": -1}},
            {"id": "client-batch", "status": "done"},
        )
    )
    assert [result["status"] for result in results] == [200, 404, 422, 200]
    assert results[2]["error"]["field"].endswith("progress.current")
    assert client.get("client-batch")["status"] == "done"
    assert client.batch([]) == []


def test_cancel_is_asked_by_an_operator_and_seen_by_the_next_update(client: Client, operator: Client) -> None:
    process_id = client.create("long", cancellable=True)["id"]
    with pytest.raises(ApiError) as refused:
        client.cancel(process_id)
    assert refused.value.status == 403
    assert "operator" in refused.value.detail
    assert operator.cancel(process_id)["cancel_requested"] is True
    assert client.update(process_id, progress={"current": 1})["cancel_requested"] is True
    client.update(process_id, status="cancelled")
    with pytest.raises(ApiError) as ended:
        operator.cancel(process_id)
    assert ended.value.status == 409


def test_output_and_follow(client: Client, shared_exporter: RunningExporter) -> None:
    process_id = client.create("talker")["id"]
    client.update(process_id, log="one\ntwo\nthree")
    assert client.output(process_id) == ["one", "two", "three"]
    assert client.output(process_id, tail=1) == ["three"]
    assert client.output(process_id, tail=0) == []
    received: list[str] = []

    def listen() -> None:
        with Client(shared_exporter.url) as other:
            for line in other.follow(process_id, tail=2):
                received.append(line)
            received.append("the end")

    follower = threading.Thread(target=listen)
    follower.start()
    wait_until(lambda: received == ["two", "three"], what="the last two lines")
    with Client(shared_exporter.url) as other:
        lines = other.follow(process_id, tail=1)
        assert next(lines) == "three"
        client.update(process_id, log="füür 🔥")
        assert next(lines) == "füür 🔥"
        client.update(process_id, log="last", status="done")
        assert list(lines) == ["last"]
    follower.join(30)
    assert received == ["two", "three", "füür 🔥", "last", "the end"]


def test_stats(client: Client) -> None:
    before = client.stats()
    client.create("counted", status="queued")
    after = client.stats()
    assert after["by_status"]["queued"] == before["by_status"]["queued"] + 1
    assert after["total"] == before["total"] + 1


def test_stream_tells_changes_and_goes_on_after_one(client: Client, shared_exporter: RunningExporter) -> None:
    process_id = client.create("streamed")["id"]
    with Client(shared_exporter.url) as listener:
        events = listener.stream()
        assert next(events).kind == "reset"
        assert next(event for event in events if about(event, process_id)).data["name"] == "streamed"
        client.update(process_id, stage="second")
        last = next(event for event in events if about(event, process_id))
        assert last.data["stage"] == "second"
    client.update(process_id, status="done")
    client.dismiss(process_id)
    with Client(shared_exporter.url) as listener:
        events = listener.stream(since=last.id)
        assert next(event for event in events if event.kind == "removed").data == {"id": process_id}


def about(event: Event, process_id: str) -> bool:
    return event.kind == "process" and event.data["id"] == process_id


def test_health_ready_metrics(client: Client) -> None:
    client.create("measured", id="client-metrics", progress={"current": 1, "total": 4})
    assert client.health()["status"] == "ok"
    assert client.ready()["status"] == "ready"
    assert 'headway_process_progress_ratio{id="client-metrics",name="measured",kind="task"} 0.25' in client.metrics()
    assert client.metrics(openmetrics=True).endswith("# EOF\n")


# ── errors ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_errors_name_the_field(client: Client) -> None:
    with pytest.raises(ApiError, match="did you mean expected_duration") as unknown:
        client.create("x", expectedDuration=5)
    assert (unknown.value.status, unknown.value.field) == (422, "expectedDuration")
    with pytest.raises(ApiError) as negative:
        client.create("x", progress={"current": -5})
    assert negative.value.field == "progress.current"
    with pytest.raises(ApiError, match="not JSON"):
        client.create("x", progress={"current": float("nan")})
    with pytest.raises(ApiError) as parameter:
        client.list(stat="running")
    assert parameter.value.field == "stat"
    for call in (client.get, client.update, client.dismiss, client.output):
        with pytest.raises(ApiError) as missing:
            call("client-nobody")
        assert (missing.value.status, missing.value.field) == (404, None)
        assert str(missing.value).startswith("404 Not found: ")
    with pytest.raises(ApiError) as missing:
        next(client.follow("client-nobody"))
    assert missing.value.status == 404


def test_an_id_stays_within_its_part_of_the_path(client: Client) -> None:
    for strange in ("../stats", "stats?x=1", "a/b", "ü", ""):
        with pytest.raises(ApiError):
            client.get(strange)


def test_a_wrong_key_is_refused(shared_exporter: RunningExporter) -> None:
    for key in ("hw_wrong", "ünïcode"):
        with Client(shared_exporter.url, key) as client, pytest.raises(ApiError) as refused:
            client.stats()
        assert refused.value.status == 401
        assert "key" in refused.value.detail


def test_address_and_key_come_from_the_environment(
    shared_exporter: RunningExporter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HEADWAY_URL", "HEADWAY_KEY", "HEADWAY_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert Client().url == "http://127.0.0.1:14323"
    monkeypatch.setenv("HEADWAY_URL", shared_exporter.url.removeprefix("http://") + "/")
    process_id = Client().create("from the environment")["id"]
    path = tmp_path / "key"
    path.write_text(shared_exporter.key + "\n")
    monkeypatch.setenv("HEADWAY_KEY_FILE", str(path))
    assert Client().cancel(process_id)["cancel_requested"]
    monkeypatch.setenv("HEADWAY_KEY", "hw_wrong")
    with pytest.raises(ApiError):
        Client().stats()
    assert Client(key=shared_exporter.key).stats()
    monkeypatch.setenv("HEADWAY_URL", "off")
    with pytest.raises(Unreachable, match="off"):
        Client()


@pytest.mark.parametrize("url", [NOWHERE, "http://no-such-host.invalid", "http://[::1", "http://127.0.0.1:99999", "ftp://x"])
def test_unreachable_names_the_address_and_what_to_do(url: str) -> None:
    with pytest.raises(Unreachable) as failed:
        Client(url, timeout=5).stats()
    assert failed.value.url == url.rstrip("/")
    assert failed.value.reason
    for words in (f"the exporter at {url.rstrip('/')} cannot be reached", "headway serve", "HEADWAY_URL"):
        assert words in str(failed.value)


def test_refused_is_said_in_words() -> None:
    with pytest.raises(Unreachable, match="cannot be reached: Connection refused"):
        Client(NOWHERE).stats()
    try:
        raise ValueError("an error of somebody else's: this")
    except ValueError:
        with pytest.raises(Unreachable, match="cannot be reached: Connection refused"):
            Client(NOWHERE).stats()


def test_a_stream_that_breaks_is_unreachable(start_exporter: Starter) -> None:
    exporter = start_exporter()
    with Client(exporter.url) as client:
        process_id = client.create("x")["id"]
        client.update(process_id, log="a line")
        lines, events = Client(exporter.url).follow(process_id), client.stream()
        assert next(lines) == "a line"
        assert next(events).kind == "reset"
        exporter.kill()
        with pytest.raises(Unreachable):
            list(lines)
        with pytest.raises(Unreachable):
            list(events)
        exporter.restart()
        assert client.get(process_id)["name"] == "x", "the same client goes on when the exporter is back"


@contextmanager
def another_server(status: int, body: bytes, silent: threading.Event | None = None) -> Iterator[str]:
    """Answers everything with this; `silent`: not before that is set."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if silent is not None:
                silent.wait(20)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PATCH = do_DELETE = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            if silent is not None:
                silent.set()
            server.shutdown()


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>"), (200, b"[]"), (200, b"{}"), (200, b""), (404, b"<html>"), (502, b"bad gateway"), (302, b""), (500, b"[]")],
)
def test_a_server_that_is_no_exporter_is_an_api_error(status: int, body: bytes) -> None:
    with another_server(status, body) as url, Client(url) as client:
        calls = (client.list, lambda: client.get("x"), lambda: client.create("x"), lambda: client.update("x"), client.stats)
        for call in calls:
            with pytest.raises(ApiError) as refused:
                call()
            assert refused.value.status == status
            assert "what answers there is no Headway exporter: check the address" in str(refused.value)


def test_an_exporter_that_does_not_answer_in_time_is_unreachable() -> None:
    silent = threading.Event()
    with (
        another_server(200, b"{}", silent) as url,
        Client(url, timeout=0.2) as client,
        pytest.raises(Unreachable, match="timed out"),
    ):
        client.health()


def test_not_ready_says_why(start_exporter: Starter, tmp_path: Path) -> None:
    data = tmp_path / "broken"
    data.mkdir()
    (data / "headway.db").write_bytes(b"this is no database" * 1000)
    exporter = start_exporter(data_dir=data)
    with Client(exporter.url) as client:
        assert client.health()["status"] == "ok"
        with pytest.raises(ApiError) as refused:
            client.ready()
        assert refused.value.status == 503
        assert refused.value.detail


# ── the base install ────────────────────────────────────────────────────────────────────────────────────────────────


def test_requests_is_all_that_a_script_needs(shared_exporter: RunningExporter, tmp_path: Path) -> None:
    """Reporter, track and Client work where only the package, requests and what requests needs can be imported."""
    site = tmp_path / "site"
    site.mkdir()
    for name in ("headway", "requests", "urllib3", "idna", "certifi", "charset_normalizer"):
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None
        (site / name).symlink_to(Path(spec.origin).parent)
    code = f"""
import sys
sys.path.insert(0, {str(site)!r})
from headway import Client, Reporter, track
with Reporter("base install", id="client-base", total=2) as reporter:
    reporter.update(2, "line", metadata={{"a": 1}})
    for item in track(range(3), name="base loop", id="client-base-loop"):
        pass
print(Client().stats()["total"])
print(*sys.modules)
"""
    environ = shared_exporter.client_env | {"HEADWAY_EXIT_WAIT": "20"}
    environ = {name: value for name, value in environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded & {"requests", "headway"} == {"requests", "headway"}
    assert not loaded & {"psutil", "rich", "msgspec", "fastapi", "starlette", "uvicorn", "yaml", "prometheus_client", "jinja2"}
    with Client(shared_exporter.url) as client:
        wait_until(lambda: client.get("client-base")["status"] == "done", what="the end")
        assert client.get("client-base-loop")["progress"]["current"] == 3


def test_a_client_is_made_without_the_server(tmp_path: Path) -> None:
    code = "import sys, json; from headway import Client; Client(); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
    loaded = json.loads(done.stdout)
    assert "requests" in loaded
    ours = {name for name in loaded if name.partition(".")[0] == "headway" and not name.startswith("headway.reporter")}
    assert ours <= {"headway", "headway.version", "headway.ids", "headway.durations", "headway.places"}
