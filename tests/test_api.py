"""The API of a real exporter, over HTTP."""

from __future__ import annotations

import socket
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest

from calling import Api
from running import RunningExporter, Starter
from waiting import wait_until


@pytest.fixture
def api(shared_exporter: RunningExporter) -> Api:
    return Api(shared_exporter)


@pytest.fixture
def admin(shared_exporter: RunningExporter) -> Api:
    return Api(shared_exporter, shared_exporter.key)


def test_a_life_from_creation_to_history(api: Api) -> None:
    created = api.create(
        name="A whole life", type="pipeline", progress={"total": 80, "unit": "sessions"}, project="kira", metadata={"model": "m"}
    )
    assert created["status"] == "running" and created["progress"]["total"] == 80
    assert created["rate"] is None and created["eta_seconds"] is None, "unknown until something was done"
    updated = api.update(created["id"], progress={"current": 51}, log=["one", "two"], stage="embed")
    assert updated["progress"] | {"ratio": 0} == {"current": 51, "total": 80, "unit": "sessions", "initial": None, "ratio": 0}
    assert updated["log_tail"] == ["two"]
    done = api.update(created["id"], status="done", summary="80 sessions", metadata={"files": 3})
    assert done["status"] == "done" and done["finished_at"].endswith("Z")
    one = api.get(created["id"])
    assert one["log_tail"] == ["one", "two"]
    assert one["metadata"] == {"model": "m", "files": 3}
    assert [t["to"] for t in one["transitions"]] == ["running", "done"]
    assert created["id"] in api.list("state=completed") and created["id"] not in api.list("limit=1000")


def test_creation_is_idempotent_by_id(api: Api) -> None:
    body = {"name": "job", "type": "task", "id": "once"}
    assert api.request("POST", "/api/processes", body)[0] == 201
    assert api.request("POST", "/api/processes", body)[0] == 200
    status, problem = api.request("POST", "/api/processes", body | {"name": "another"})
    assert status == 409 and problem["field"] == "id"
    api.update("once", status="done")
    api.raw("DELETE", "/api/processes/once")
    assert api.request("POST", "/api/processes", body)[0] == 200, "from the history too"


def test_a_name_stands_on_one_line_without_blanks_around_it(api: Api) -> None:
    untidy = {"name": " Nightly\tdump \r\n  of  é ", "type": "task", "id": "untidy"}
    assert api.create(**untidy)["name"] == "Nightly dump of é"
    assert api.request("POST", "/api/processes", untidy)[0] == 200, "it is the same creation"


@pytest.mark.parametrize(
    ("body", "status", "field", "says"),
    [
        ({"type": "task"}, 422, "name", "required"),
        (
            {"name": "x"},
            422,
            "type",
            'type is required: one of subagent, pipeline, cron, daemon, task, for example "type": "task"',
        ),
        (
            {"name": "x", "type": "Pipline"},
            422,
            "type",
            "not one of subagent, pipeline, cron, daemon, task: did you mean pipeline?",
        ),
        ({"name": "x", "type": "robot"}, 422, "type", "not one of subagent, pipeline"),
        (
            {"name": "x", "type": "task", "expectedDuration": 5},
            422,
            "expectedDuration",
            "did you mean expected_duration, in seconds?",
        ),
        ({"name": "x", "type": "task", "progress": {"totl": 5}}, 422, "progress.totl", "did you mean total?"),
        ({"name": "x", "type": "task", "progress": {"total": -1}}, 422, "progress.total", ">= 0"),
        ({"name": "x", "type": "task", "timeout": "soon"}, 422, "timeout", "90s"),
        ({"name": "x", "type": "task", "id": "stats"}, 422, "id", "word of the API"),
        ({"name": "x", "type": "task", "id": "no/slash"}, 422, "id", "expected 1 to 64 letters, digits, _ and -"),
        ({"name": "", "type": "task"}, 422, "name", "not blanks alone"),
        ({"name": " \t\u200b", "type": "task"}, 422, "name", "not blanks alone: the words that people know it by"),
        ({"name": "x" * 513, "type": "task"}, 422, "name", "length <= 512, got 513"),
        ({"name": "x", "type": "task", "rate": "fast"}, 422, "rate", "expected number or null, got text"),
        ({"name": "x", "type": "task", "timeout": []}, 422, "timeout", "expected number or text or null, got array"),
        (
            {"name": "x", "type": "task", "started_at": 5},
            422,
            "started_at",
            "mean started_age, how many seconds ago it began?",
        ),
        ([], 422, None, "object"),
    ],
)
def test_wrong_creations_are_explained(api: Api, body: Any, status: int, field: str | None, says: str) -> None:
    answer = api.raw("POST", "/api/processes", json=body)
    problem = answer.json()
    assert answer.status_code == status and answer.headers["content-type"] == "application/problem+json"
    assert problem.get("field") == field
    assert says in problem["detail"]
    assert "soon" not in answer.text and "robot" not in answer.text, "what was sent is not sent back"


def test_an_unknown_state_is_not_sent_back(api: Api) -> None:
    status, problem = api.request("GET", "/api/processes?state=failed,rnning")
    assert (status, problem["field"]) == (422, "state")
    assert problem["detail"] == "state: unknown state: did you mean running?"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_must_be_finite(api: Api, number: str) -> None:
    for body in (
        '{"name":"x","type":"task","progress":{"total":%s}}',
        '{"name":"x","type":"task","metadata":{"deep":[%s]}}',
        '{"name":"x","type":"task","timeout":%s}',
    ):
        answer = api.raw("POST", "/api/processes", data=body % number, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), answer.text
        assert number not in answer.text, "the input is not echoed"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"name":"\\ud800","type":"task"}', b'{"metadata":{"deep":' + b"[" * 100_000]
)
def test_what_is_not_json_is_refused(api: Api, body: bytes) -> None:
    answer = api.raw("POST", "/api/processes", data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text


def test_unknown_parameters_and_states_are_refused_with_a_suggestion(api: Api) -> None:
    status, problem = api.request("GET", "/api/processes?statu=running")
    assert (status, problem["field"]) == (422, "statu") and "did you mean status?" in problem["detail"]
    status, problem = api.request("GET", "/api/processes?state=runing")
    assert status == 422 and "did you mean running?" in problem["detail"]
    assert api.request("GET", "/api/processes?limit=0")[0] == 422
    assert api.request("GET", "/api/processes?limit=5&limit=6")[0] == 422
    assert api.request("GET", "/api/processes?cursor=nonsense")[0] == 422
    assert api.request("GET", "/api/processes/stats?verbose=1")[0] == 422


def test_filters_and_pages(api: Api) -> None:
    for number in range(7):
        api.create(
            id=f"page-{number}",
            project="paging",
            task=f"t{number % 2}",
            attempt="a1",
            agent="claude",
            group="g",
            user="ann" if number < 3 else "bob",
            executor=number == 6,
            name="first" if number == 0 else "later",
            type="subagent" if number == 5 else "task",
            parent_id="page-0" if number == 1 else None,
            status="queued" if number == 4 else "running",
        )
    everything = [f"page-{n}" for n in (6, 5, 4, 3, 2, 1, 0)]
    assert api.list("project=paging&state=active") == everything
    assert api.list("project=paging") == [i for i in everything if i != "page-4"]
    assert api.list("project=paging&state=queued") == ["page-4"]
    assert api.list("project=paging&status=queued,running&task=t1") == ["page-5", "page-3", "page-1"]
    assert api.list("project=paging&user=ann") == ["page-2", "page-1", "page-0"]
    assert api.list("project=paging&executors_only=true") == ["page-6"]
    assert api.list("project=paging&type=subagent") == ["page-5"]
    assert api.list("project=paging&name=first") == ["page-0"]
    assert api.list("project=paging&parent=page-0") == ["page-1"]
    assert api.list("project=paging&attempt=a1&agent=claude&group=g&limit=2") == ["page-6", "page-5"]
    assert api.list("project=paging&attempt=a2") == []
    for state in ("active", "all"):
        seen, cursor = [], ""
        for _ in range(10):
            _status, body = api.request("GET", f"/api/processes?project=paging&state={state}&limit=3{cursor}")
            seen += [process["id"] for process in body["data"]]
            if body["next"] is None:
                break
            cursor = f"&cursor={body['next']}"
        assert seen == everything, state


def test_since_compares_with_the_last_update(api: Api) -> None:
    api.create(id="since-old", project="since")
    api.create(id="since-new", project="since")
    moment = api.update("since-new", progress={"current": 1})["updated_at"]
    for state in ("active", "all"):
        assert api.list(f"project=since&state={state}&since={moment[:-1]}Z") == ["since-new"], state
        assert len(api.list(f"project=since&state={state}&since=1700000000")) == 2


def test_batches_answer_item_by_item(api: Api) -> None:
    api.create(id="batch-a")
    status, body = api.request(
        "POST",
        "/api/processes/batch",
        {
            "items": [
                {"id": "batch-a", "seq": 1, "progress": {"current": 3}},
                {"id": "batch-b", "create": {"name": "job", "type": "task"}, "seq": 1, "status": "done"},
                {"id": "batch-unknown", "progress": {"current": 3}},
                {"id": "batch-a", "seq": 1, "log": "again"},
                {"id": "batch-a", "sequence": 2},
                {"id": "batch-b", "status": "running"},
                {"id": "no id", "seq": 1},
                {"seq": 1},
            ]
        },
    )
    assert status == 200
    assert [item["status"] for item in body["data"]] == [200, 200, 404, 200, 422, 409, 422, 422]
    said = ["batch-a", "batch-b", "batch-unknown", "batch-a", "batch-a", "batch-b", None, None]
    assert [item["id"] for item in body["data"]] == said, "of a wrong item too, where it has one"
    assert body["data"][3]["duplicate"] is True
    assert body["data"][4]["error"]["field"] == "sequence"
    assert api.get("batch-a")["progress"]["current"] == 3 and api.get("batch-a")["log_tail"] == []
    assert api.get("batch-b")["status"] == "done"
    assert api.request("POST", "/api/processes/batch", {"items": []})[0] == 200


def test_what_changes_nothing_is_answered_with_why(api: Api) -> None:
    api.create(id="late", progress={"current": 1})
    api.update("late", progress={"current": 2})
    for path in ("/api/processes/late", "/api/processes/late?"):  # the second goes the usual way, through the framework
        _, body = api.request("PATCH", path, {"progress": {"current": 2}})
        assert "ignored" not in body and "duplicate" not in body
    api.update("late", status="failed", error="no", seq=5)
    settled = "it has ended, it is failed: what it did and said at its end is settled; log and metadata are still taken"
    late = {"progress": {"current": 3}, "error": "yes", "log": "flushed", "stage": "x"}
    for path in ("/api/processes/late", "/api/processes/late?"):
        status, body = api.request("PATCH", path, late)
        assert (status, body["ignored"]["reason"]) == (200, settled)
        assert sorted(body["ignored"]["fields"]) == ["error", "progress", "stage"] and body["data"]["log_tail"] == ["flushed"]
    items: list[dict[str, Any]] = [
        {"id": "late", "progress": {"current": 4}},
        {"id": "late", "status": "failed", "error": "no", "metadata": {"a": 1}},
        {"id": "late", "seq": 5, "progress": {"current": 9}},
        {"id": "late", "seq": 4, "log": "older"},
        {"id": "late", "progress": {"current": 2}, "age": 3600},
        {"id": "late", "seq": 3},
    ]
    plain = {"id": "late", "status": 200, "cancel_requested": False}
    repeated = {**plain, "duplicate": True}
    expected = [
        {**plain, "ignored": {"fields": ["progress"], "reason": settled}},
        plain,  # it only repeats how it ended
        {**repeated, "ignored": {"fields": ["progress"], "reason": "seq 5 was taken before"}},
        {**repeated, "ignored": {"fields": ["log"], "reason": "seq 4 is older than 5, which was taken"}},
        plain,  # work that was done before the end
        repeated,
    ]
    for path in ("/api/processes/batch", "/api/processes/batch?"):
        assert api.request("POST", path, {"items": items})[1]["data"] == expected
    alone = [item for item in items if item.keys() <= {"id", "progress", "seq", "age"}]  # nothing but progress is read another way
    assert api.request("POST", "/api/processes/batch", {"items": alone})[1]["data"] == [expected[i] for i in (0, 2, 4)] + [repeated]


def test_a_refused_type_in_a_batch_is_explained_as_elsewhere(api: Api) -> None:
    items = [{"id": "without", "create": {"name": "x"}}, {"id": "wrong", "create": {"name": "x", "type": "dæmon"}}]
    _, answer = api.request("POST", "/api/processes/batch", {"items": items})
    said = [item["error"]["detail"] for item in answer["data"]]
    assert said[0].startswith("create.type is required: one of subagent") and said[1].endswith("task: did you mean daemon?")


def test_what_ended_badly_and_was_not_dismissed(api: Api) -> None:
    ends = ("failed", "timed_out", "killed", "running", "done", "cancelled", "failed")
    for number, status in enumerate(ends):
        api.create(id=f"bad-{number}", project="bad")
        if status != "running":
            api.update(f"bad-{number}", status=status)
    assert api.request("DELETE", "/api/processes/bad-6")[0] == 200
    assert api.list("project=bad&state=undismissed") == ["bad-2", "bad-1", "bad-0"]
    assert api.list("project=bad&state=undismissed,active") == ["bad-3", "bad-2", "bad-1", "bad-0"]
    assert api.list("project=bad&state=undismissed,done") == ["bad-4", "bad-2", "bad-1", "bad-0"]
    _status, body = api.request("GET", "/api/processes?project=bad&state=undismissed&limit=2")
    assert [process["id"] for process in body["data"]] == ["bad-2", "bad-1"]
    assert api.list(f"project=bad&state=undismissed&limit=2&cursor={body['next']}") == ["bad-0"]


def test_dismissal_takes_out_of_the_active_view_and_keeps_the_history(api: Api) -> None:
    api.create(id="dismissed")
    assert api.request("DELETE", "/api/processes/dismissed")[0] == 409
    api.update("dismissed", status="failed", error="boom", exit_code=2)
    status, body = api.request("DELETE", "/api/processes/dismissed")
    assert status == 200 and body["data"]["dismissed_at"] is not None
    assert api.get("dismissed")["error"] == "boom"
    assert api.request("DELETE", "/api/processes/dismissed")[0] == 200


def test_children_are_nested_and_their_totals_rolled_up(api: Api) -> None:
    api.create(id="tree-root", metadata={"tokens": {"input": 1}})
    api.create(id="tree-a", parent_id="tree-root", metadata={"tokens": {"input": 10, "output": 5}, "cost_dollars": 0.5})
    api.create(id="tree-aa", parent_id="tree-a", metadata={"cost_dollars": 0.25})
    api.create(id="tree-b", parent_id="tree-root")
    api.update("tree-b", status="done")
    root = api.get("tree-root")
    assert [child["id"] for child in root["children"]] == ["tree-a", "tree-b"]
    assert [child["id"] for child in root["children"][0]["children"]] == ["tree-aa"]
    assert root["totals"] == {
        "processes": 4,
        "ended": 1,
        "by_status": {"running": 3, "done": 1},
        "tokens": {"input": 11, "output": 5},
        "cost_dollars": 0.75,
    }
    assert root["children"][0]["totals"]["processes"] == 2


def test_output_by_tail_and_followed_to_the_end(api: Api, shared_exporter: RunningExporter) -> None:
    api.create(id="talker")
    api.update("talker", log="a\nb\nc")
    status, body = api.request("GET", "/api/processes/talker-x/output")
    assert status == 404 and body["detail"].startswith("there is no process 'talker-x', or it has not been reported yet; ")
    status, body = api.request("GET", "/api/processes/talker/output?tail=2")
    assert [(line["number"], line["text"]) for line in body["data"]] == [(2, "b"), (3, "c")]
    received: list[str] = []
    with api.raw("GET", "/api/processes/talker/output?tail=1&follow=true", stream=True) as answer:
        reader = threading.Thread(target=lambda: received.extend(answer.iter_lines(decode_unicode=True)))
        reader.start()
        other = Api(shared_exporter)
        other.update("talker", log="d")
        wait_until(lambda: "d" in received, what="the new line")
        other.update("talker", log="e", status="done")
        reader.join(30)
        assert not reader.is_alive(), "the stream ends with the process"
    assert received == ["c", "d", "e"]


def test_an_ended_process_keeps_its_output_after_a_restart(start_exporter: Starter) -> None:
    exporter = start_exporter()
    api = Api(exporter)
    api.create(id="kept")
    api.update("kept", log=["one", "two"], status="done", summary="fine")
    api.create(id="going", progress={"current": 5, "total": 10}, lease="1h")
    api.update("going", log="half way")
    exporter.restart()
    api = Api(exporter)
    assert api.get("kept")["log_tail"] == ["one", "two"] and api.get("kept")["summary"] == "fine"
    going = api.get("going")
    assert going["status"] == "running" and going["progress"]["current"] == 5 and going["log_tail"] == ["half way"]


def test_the_stream_tells_changes_as_they_happen_and_resumes(api: Api, shared_exporter: RunningExporter) -> None:
    api.create(id="streamed")
    seen: list[tuple[str, str, str]] = []

    def listen(headers: dict[str, str], stop: str) -> None:
        with Api(shared_exporter).raw("GET", "/api/processes/stream", stream=True, headers=headers) as answer:
            kind = event_id = ""
            for line in answer.iter_lines(decode_unicode=True):
                name, _, value = line.partition(": ")
                if name == "event":
                    kind = value
                elif name == "id":
                    event_id = value
                elif name == "data":
                    seen.append((kind, event_id, value))
                    if stop in value:
                        return

    listener = threading.Thread(target=listen, args=({}, '"stage":"second"'))
    listener.start()
    wait_until(lambda: any("streamed" in data for _, _, data in seen), what="the snapshot")
    api.update("streamed", stage="second")
    listener.join(30)
    assert not listener.is_alive() and seen[0][0] == "reset"
    last = seen[-1][1]
    api.update("streamed", stage="third")
    seen.clear()
    resumed = threading.Thread(target=listen, args=({"Last-Event-ID": last}, '"stage":"third"'))
    resumed.start()
    resumed.join(30)
    assert not resumed.is_alive() and [kind for kind, _, _ in seen if kind == "reset"] == []
    seen.clear()
    anew = threading.Thread(target=listen, args=({"Last-Event-ID": "other-1"}, '"stage":"third"'))
    anew.start()
    anew.join(30)
    assert seen[0][0] == "reset"


def test_stats_count_by_status(admin: Api) -> None:
    before = admin.request("GET", "/api/processes/stats")[1]["data"]
    admin.create(id="counted", status="queued")
    after = admin.request("GET", "/api/processes/stats")[1]["data"]
    assert after["by_status"]["queued"] == before["by_status"]["queued"] + 1
    assert after["total"] == before["total"] + 1 and set(after["conditions"]) >= {"stuck", "time_sink"}


def test_a_cancel_request_needs_an_operator_and_reaches_the_reporter(api: Api, admin: Api) -> None:
    api.create(id="cancelled")
    assert api.request("POST", "/api/processes/cancelled/cancel")[0] == 403
    status, body = admin.request("POST", "/api/processes/cancelled/cancel")
    assert status == 202 and body["cancel_requested"] is True
    status, body = api.request("PATCH", "/api/processes/cancelled", {"progress": {"current": 1}})
    assert body["cancel_requested"] is True
    api.update("cancelled", status="cancelled")
    assert admin.request("POST", "/api/processes/cancelled/cancel", {})[0] == 409


def test_unknown_addresses_and_methods_are_problems(api: Api) -> None:
    for method, path, status in (
        ("GET", "/api/nothing", 404),
        ("GET", "/api/processes/none", 404),
        ("PATCH", "/api/processes/none", 404),
        ("PUT", "/api/processes", 405),
        ("GET", "/api/processes/", 404),
    ):
        answer = api.raw(method, path, json={} if method == "PATCH" else None)
        assert answer.status_code == status, (method, path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json" and answer.json()["status"] == status


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/", "/processes", "/history"])
def test_probes_may_ask_for_the_head_alone(api: Api, path: str) -> None:
    head, whole = api.raw("HEAD", path), api.raw("GET", path)
    assert (head.status_code, head.content, whole.status_code) == (200, b"", 200)
    assert head.headers["Content-Type"] == whole.headers["Content-Type"]


def test_pages_answer_and_escape(api: Api, shared_exporter: RunningExporter) -> None:
    name = "<script>alert(1)</script>"
    api.create(id="hostile", name=name, progress={"current": 1, "total": 4, "unit": "x"})
    api.update("hostile", log="<img src=x onerror=alert(1)>")
    for path in ("/", "/processes", "/history", "/services", "/attention", "/processes/hostile", "/processes/hostile?cancel"):
        answer = api.raw("GET", path, headers={"Accept": "text/html"})
        assert answer.status_code == 200 and "Headway" in answer.text, path
        assert name not in answer.text and "<img src=x" not in answer.text
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "&lt;script&gt;" in api.raw("GET", "/").text
    for path in ("/", "/processes/hostile"):
        text = api.raw("GET", path).text
        assert "1/4 x" in text and "25%" in text and " object at " not in text
    missing = api.raw("GET", "/processes/nobody", headers={"Accept": "text/html"})
    assert missing.status_code == 404 and missing.headers["content-type"].startswith("text/html")
    assert api.raw("GET", "/docs").status_code == 200
    for asset in ("/static/headway.css", "/static-offline-docs/swagger-ui.css"):
        assert api.raw("GET", asset).status_code == 200


def test_metrics_show_what_was_reported(api: Api) -> None:
    api.create(id="measured", name="Measured job", progress={"total": 4, "unit": "steps"})
    api.update("measured", progress={"current": 1})
    text = api.raw("GET", "/metrics").text
    labels = 'id="measured",name="Measured job",kind="task"'
    assert f"headway_process_progress_ratio{{{labels}}} 0.25" in text
    assert f"headway_process_status_code{{{labels}}} 3" in text
    assert 'headway_finished_total{name="Measured job",kind="task",outcome="failed"} 0' in text, "created at 0"
    api.update("measured", status="failed", error="boom")
    text = api.raw("GET", "/metrics").text
    assert f"headway_process_status_code{{{labels}}} 11" in text
    assert 'headway_finished_total{name="Measured job",kind="task",outcome="failed"} 1' in text
    api.raw("DELETE", "/api/processes/measured")
    assert 'id="measured"' not in api.raw("GET", "/metrics").text


def test_a_broken_off_body_does_no_harm(api: Api) -> None:
    address = urlsplit(api.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(
            b"POST /api/processes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{"
        )
    assert api.raw("GET", "/health").status_code == 200
