"""Client: every call of the HTTP API as a method, for programs. Synchronous; needs requests, which is imported when one is made."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, Self
from urllib.parse import quote

from headway.reporter.address import OFF, find_key, find_url
from headway.reporter.link import USER_AGENT, is_loopback, root_cause
from headway.reporter.trust import Trust

if TYPE_CHECKING:
    from types import TracebackType

    import requests

# A stream says «still here» every 15 s: after three of them missed it is lost.
STREAM_SILENCE: Final = 45.0
# Beside the grace: what SIGKILL may take, and the last word of a reporter (s).
KILL_TIME: Final = 10.0
# What the exporter gives a command to be reported (s).
START_TIME: Final = 20.0
# What the end of a service may take: the longest grace that a configuration can give, and SIGKILL (s).
STOP_TIME: Final = 60.0 + KILL_TIME
# Of all services, which may have to wait for each other (s).
STOP_ALL_TIME: Final = 600.0
# Ten thousand ended processes are read and judged (s).
ANALYSIS_TIME: Final = 20.0
_LIST = list  # Client.list hides the type in annotations of the class


class ApiError(Exception):
    """The exporter refused a call. `status` is the HTTP status, `title` its short name, `detail` what to do, `field` which is
    wrong (None if none is)."""

    def __init__(self, status: int, title: str, detail: str, field: str | None = None) -> None:
        super().__init__(f"{status} {title}: {detail}" if detail else f"{status} {title}")
        self.status = status
        self.title = title
        self.detail = detail
        self.field = field


class Foreign(ApiError):
    """What answered is no exporter."""


class Unreachable(Exception):
    """The exporter at `url` could not be asked, or the connection to it broke."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"the exporter at {url} cannot be reached: {reason}. Is it running («headway serve»)? "
            "Another address is given as Client(url=…) or in HEADWAY_URL."
        )
        self.url = url
        self.reason = reason


class Event(NamedTuple):
    """One server-sent event. `kind` is process (data: the process as in a list), removed (data: its id) or reset (forget all).
    `id` given to `stream(since=…)` goes on after it."""

    kind: str
    data: Any
    id: str | None


class Client:
    """`url` and `key` default to HEADWAY_URL and HEADWAY_KEY (or HEADWAY_KEY_FILE), then http://127.0.0.1:14323 and no key.
    `timeout`: seconds to wait for an answer. `ca_file`: certificates (PEM) by which that of an exporter with TLS is verified, by
    default HEADWAY_CA_FILE, else the authorities that everybody trusts. Not for several threads at once; usable as a context
    manager.

    Processes are dicts as the API shows them: times are RFC 3339 text (UTC), durations seconds, `rate` items per minute. All calls
    raise ApiError when the exporter refuses, Unreachable when it does not answer. Arguments of the API whose names are words of
    Python or of this method are given as in the API: `type="cron"`, `id=…`.
    """

    def __init__(
        self, url: str | None = None, key: str | None = None, timeout: float = 10.0, *, ca_file: str | None = None
    ) -> None:
        import requests

        self.url = find_url(url)
        if self.url == OFF:
            raise Unreachable(OFF, "HEADWAY_URL is off")
        self.timeout = timeout
        self._session = requests.Session()
        try:
            self._session.trust_env = not is_loopback(self.url)
        except ValueError as error:
            raise Unreachable(self.url, f"this is no address ({error})") from None
        self._session.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json"})
        trust = Trust.of()
        try:
            (replace(trust, ca_file=ca_file) if ca_file else trust).mount(self._session, socket_options=_keepalive())
        except OSError as error:
            where = ca_file or trust.ca_file or "HEADWAY_CA_FILE"
            raise Unreachable(self.url, f"the certificates in {where} cannot be used ({error.strerror or error})") from None
        found = find_key(key)
        if found is not None:
            self._session.headers["Authorization"] = f"Bearer {found}".encode("utf-8", "replace")

    # ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────

    def list(self, **filters: Any) -> list[dict[str, Any]]:
        """One page of processes, newest first; the running ones unless `state` says otherwise ("all", "active", "failed", "stuck",
        "failed,orphaned" …; "undismissed" is what ended badly and was not dismissed). Filters: type, user, project, task, attempt,
        agent, group, parent, name, executors_only, since, limit (20), cursor."""
        return _LIST(self.page(**filters)["data"])

    def page(self, **filters: Any) -> dict[str, Any]:
        """What `list` gives as `data`, and as `next` the `cursor` of the page after it; None after the last."""
        params = {name: _param(value) for name, value in filters.items() if value is not None}
        return self._envelope("GET", "/api/processes", params=params)

    def iterate(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """All processes that `list` would give, page by page as they are needed."""
        filters = {"limit": 200, **filters}
        while True:
            page = self.page(**filters)
            yield from page["data"]
            if not page.get("next"):
                return
            filters["cursor"] = page["next"]

    def get(self, id: str) -> dict[str, Any]:
        """One process with its whole log tail, children, totals and transitions."""
        return dict(self._data("GET", _path(id)))

    def output(self, id: str, tail: int = 500) -> _LIST[str]:
        """The last lines of its output."""
        return [line["text"] for line in self._data("GET", f"{_path(id)}/output", params={"tail": tail})]

    def follow(self, id: str, tail: int = 10) -> Iterator[str]:
        """The last lines of its output, then each new one as it comes, until the process has ended."""
        with self._opened(f"{_path(id)}/output", None, params={"tail": tail, "follow": "true"}) as answer:
            yield from (line.decode("utf-8", "replace") for line in _lines(answer, self.url))

    def integrations(self) -> _LIST[dict[str, Any]]:
        """How the integrations of the configuration do: `up`, `looked_at`, `listed`, `active`, `problem` …"""
        return _LIST(self._data("GET", "/api/integrations"))

    def stats(self) -> dict[str, Any]:
        """How many processes there are, by status, type and condition."""
        return dict(self._data("GET", "/api/processes/stats"))

    def analyze(self, **filters: Any) -> dict[str, Any]:
        """What is slow, why, and what to do: `waiting`, `time_sinks`, `bottlenecks`, `stuck`, `duplicates`, `forecasts`, `windows`,
        `patterns` (of each name failure rate, durations, trend, errors), `costs`, `recommendations` (with the command for each).
        Filters: type, name, project, timeframe ("7d") or since."""
        params = {name: _param(value) for name, value in filters.items() if value is not None}
        return dict(self._data("GET", "/api/processes/analyze", params=params, timeout=self.timeout + ANALYSIS_TIME))

    def trends(self, timeframe: str = "24h", **filters: Any) -> dict[str, Any]:
        """How things went over time: `series` (ended, failed, failure_rate, duration_p50, duration_p95, cpu_cores, memory_bytes,
        time_sinks, cost_dollars), a value for each step that ends at the time in `ends`; `source` says whether Prometheus or the
        store knew it, `note` why. Filters: type, name, project, source="store"."""
        params = {"timeframe": timeframe} | {name: _param(value) for name, value in filters.items() if value is not None}
        return dict(self._data("GET", "/api/processes/trends", params=params, timeout=self.timeout + ANALYSIS_TIME))

    def report(self, timeframe: str = "24h") -> str:
        """One page of plain text, for people and language models: what runs, what failed and why, what to do, what is scheduled."""
        params, accept = {"timeframe": timeframe}, {"Accept": "text/plain"}
        more = {"params": params, "headers": accept, "timeout": self.timeout + ANALYSIS_TIME}
        answer = self._call("GET", "/api/processes/report", **more)
        answer.encoding = "utf-8"
        return answer.text

    def report_parts(self, timeframe: str = "24h") -> dict[str, Any]:
        """The report as data: what `analyze` gives, `running` and `services`."""
        more = {"params": {"timeframe": timeframe}, "timeout": self.timeout + ANALYSIS_TIME}
        return dict(self._data("GET", "/api/processes/report", **more))

    def suggest(self, name: str, type: str | None = None) -> _LIST[dict[str, Any]]:
        """Limits for the next run of a name, for each type that it had: `timeout`, `memory`, `cpu_seconds` (each with `value`,
        `p99`, `runs`, `trust`), `expected_seconds`, and the `command` with them."""
        params = {"name": name} if type is None else {"name": name, "type": type}
        return _LIST(self._data("GET", "/api/processes/suggest", params=params, timeout=self.timeout + ANALYSIS_TIME))

    def stream(self, since: str | None = None) -> Iterator[Event]:
        """Every change as it happens: first all processes of the active view, then each that changes. Ends only by an error."""
        headers = {"Accept": "text/event-stream"}
        if since is not None:
            headers["Last-Event-ID"] = since
        with self._opened("/api/processes/stream", STREAM_SILENCE, headers=headers) as answer:
            yield from _events(_lines(answer, self.url))
        raise Unreachable(self.url, "it ended the stream")

    def settings(self) -> dict[str, Any]:
        """What the exporter was started with: {name: {value, source}}, secrets masked. Needs the role operator."""
        return dict(self._data("GET", "/api/settings"))

    def health(self) -> dict[str, Any]:
        """Raises unless the exporter is alive."""
        return _object(self._call("GET", "/health"))

    def ready(self) -> dict[str, Any]:
        """Raises ApiError (503, with the reason) unless it can store what it is told."""
        return _object(self._call("GET", "/ready"))

    def metrics(self, openmetrics: bool = False) -> str:
        """The page that Prometheus reads."""
        accept = "application/openmetrics-text; version=1.0.0" if openmetrics else "text/plain"
        answer = self._call("GET", "/metrics", headers={"Accept": accept})
        answer.encoding = "utf-8"
        return answer.text

    # ── writing ────────────────────────────────────────────────────────────────────────────────────────────────────

    def create(self, name: str, type: str = "task", **fields: Any) -> dict[str, Any]:
        """Creates a process from fields of the API: id, status, progress={"current", "total", "unit"}, stage, parent_id, … An `id`
        makes the call repeatable. The calling OS process is not taken for the work unless `pid` and `create_time` are given."""
        return dict(self._data("POST", "/api/processes", json={"name": name, "type": type, **fields}))

    def update(self, id: str, **fields: Any) -> dict[str, Any]:
        """Changes fields: status, progress={…}, stage, log, waiting_for, summary, error, metadata, … `cancel_requested` in the
        answer says whether someone asked to end it. `ignored`, the `fields` and the `reason`, is there where something of it
        changed nothing, as the process has ended."""
        answer = self._envelope("PATCH", _path(id), json=fields)
        beside = {"ignored": answer["ignored"]} if "ignored" in answer else {}
        return {**answer["data"], "cancel_requested": answer.get("cancel_requested", False), **beside}

    def batch(self, items: Sequence[Mapping[str, Any]]) -> _LIST[dict[str, Any]]:
        """Many updates in one request: each item is the fields of an update, its `id`, and maybe `create`. Returns a result per
        item; a refused one has another status than 200 and the problem as `error`, the others are applied all the same."""
        return _LIST(self._data("POST", "/api/processes/batch", json={"items": _LIST(items)}))

    def cancel(self, id: str) -> dict[str, Any]:
        """Asks the reporter of a process to end it; the process decides when. Needs a key of the role operator."""
        return dict(self._data("POST", f"{_path(id)}/cancel"))

    def dismiss(self, id: str) -> dict[str, Any]:
        """Takes an ended process out of the active view."""
        return dict(self._data("DELETE", _path(id)))

    # ── control: all of it needs a key of the role operator ────────────────────────────────────────────────────────

    def track(self, command: str | Sequence[str], **fields: Any) -> dict[str, Any]:
        """Starts a command as a tracked process on the exporter's host: a text for the shell, or a list of words. Fields: name,
        type, project, …, cwd, env={…}, timeout, kill_on_timeout, retry, at_most, metadata, limits={"memory": "2GiB", "cpu_time":
        "1h", "open_files": 256, "nice": 10} (see /docs). Returns when it runs; with at_most and group maybe when it is queued."""
        body = {"command": command if isinstance(command, str) else list(command), **fields}
        return dict(self._data("POST", "/api/processes/track", json=body, timeout=self.timeout + START_TIME))

    def retry(self, id: str) -> dict[str, Any]:
        """Starts what `track` started once more, after its end, as a new process with a new id. Returns when it runs."""
        return dict(self._data("POST", f"{_path(id)}/retry", timeout=self.timeout + START_TIME))

    def kill(self, id: str, signal: str | int = "SIGTERM", grace: float = 5.0) -> dict[str, Any]:
        """Ends a process with everything below it: `signal`, and SIGKILL for who lives after `grace` seconds (60 at most). Returns
        when the outcome was seen: `process`, `killed`, `failed`, `skipped`, `survivors`, the last three with a reason each."""
        fields = {"signal": signal, "grace": grace}
        return dict(self._data("POST", f"{_path(id)}/kill", json=fields, timeout=self.timeout + grace + KILL_TIME))

    def kill_scope(
        self, scope: Mapping[str, Any], dry_run: bool = False, signal: str | int = "SIGTERM", grace: float = 5.0
    ) -> dict[str, Any]:
        """Ends all of a scope: {"type": "task", "task_id": …}, and so for project, group, attempt and process; {"type": "pid",
        "pid": …, "create_time": …} (role admin, unless it is tracked); {"type": "all_except_executors"}; {"type": "all"}. With
        `dry_run` it only says what would be ended. Returns what `kill` does, without `process`."""
        fields = {"scope": dict(scope), "signal": signal, "grace": grace, "dry_run": dry_run}
        return dict(self._data("POST", "/api/processes/kill", json=fields, timeout=self.timeout + grace + KILL_TIME))

    def pause(self, id: str) -> dict[str, Any]:
        """Stops the OS processes of a process where they are, until `resume` or `kill`."""
        return dict(self._data("POST", f"{_path(id)}/pause"))

    def resume(self, id: str) -> dict[str, Any]:
        """Lets a paused process go on."""
        return dict(self._data("POST", f"{_path(id)}/resume"))

    def cleanup(self, older_than: float | str = 300.0, dry_run: bool = False) -> dict[str, Any]:
        """Takes out of the active view what was orphaned, whose OS process is a zombie, and what ended well more than `older_than`
        ago (seconds, or "1h"). Returns them as `orphans`, `zombies` and `ended`. Ends nothing."""
        return dict(self._data("POST", "/api/processes/cleanup", json={"older_than": older_than, "dry_run": dry_run}))

    def tree(self, id: str) -> dict[str, Any]:
        """Its OS processes as a tree (`os_process`, nested by `children`) and the processes below it. Needs no key on loopback."""
        return dict(self._data("GET", f"{_path(id)}/tree"))

    def discovered(self) -> dict[str, Any]:
        """What the rules of discovery find: `matches` (OS processes, why each is meant, and the `process_id` that tracks it or the
        `reason` why none does), `rules` (with the `reason` why nobody matches), `stale` pid files. Needs no key on loopback."""
        return dict(self._data("GET", "/api/discovered"))

    # ── configured services: all but looking needs a key of the role operator ──────────────────────────────────────

    def services(self, name: str | None = None, group: str | None = None) -> _LIST[dict[str, Any]]:
        """The services that the exporter is configured with, of one name or group or all: `status` (stopped, starting, running,
        stopping, error) with the `reason`, `wanted`, `gave_up`, `pid`, `port_open`, `uptime_seconds`, `restarts`, `schedule`, …"""
        params = {key: value for key, value in (("name", name), ("group", group)) if value is not None}
        return _LIST(self._data("GET", "/api/processes/status", params=params))

    def start(self, name: str, wait: float = 90.0) -> dict[str, Any]:
        """Starts a service, and before it what it depends on. Returns it when it is ready, or after `wait` seconds (600 at most).
        Raises ApiError (409, with the reason) when it cannot be started."""
        body = {"name": name, "wait": wait}
        return dict(self._data("POST", "/api/processes/start", json=body, timeout=self.timeout + wait))

    def stop(self, name: str) -> dict[str, Any]:
        """Ends a service with everything below it; it stays stopped, also when the exporter is started again. Returns it when its
        end was seen."""
        return dict(self._data("POST", "/api/processes/stop", json={"name": name}, timeout=self.timeout + STOP_TIME))

    def restart(self, name: str, wait: float = 90.0) -> dict[str, Any]:
        """Ends a service and starts it anew; returns and raises what `start` does."""
        body = {"name": name, "wait": wait}
        return dict(self._data("POST", "/api/processes/restart", json=body, timeout=self.timeout + STOP_TIME + wait))

    def start_all(self, names: Sequence[str] | None = None, group: str | None = None, wait: float = 90.0) -> _LIST[dict[str, Any]]:
        """Starts all services, those of a group, or those named, with what they depend on, in the order of that. Returns all of
        them once nothing more will come of it, or after `wait` seconds (600 at most): the `status` of each says how it went."""
        body = {**_chosen(names, group), "wait": wait}
        return _LIST(self._data("POST", "/api/processes/start-all", json=body, timeout=self.timeout + wait))

    def stop_all(self, names: Sequence[str] | None = None, group: str | None = None) -> _LIST[dict[str, Any]]:
        """Ends all services, those of a group, or those named, each before those it depends on; returns them."""
        body = _chosen(names, group)
        return _LIST(self._data("POST", "/api/processes/stop-all", json=body, timeout=self.timeout + STOP_ALL_TIME))

    def logs(self, name: str, lines: int = 100) -> _LIST[str]:
        """The last lines that a service wrote, over all its starts."""
        return _LIST(self._data("GET", f"{_path(name)}/logs", params={"lines": lines}))

    def follow_logs(self, name: str, lines: int = 10) -> Iterator[str]:
        """The last lines that a service wrote, then each new one as it comes, over all its starts. Ends only by an error."""
        with self._opened(f"{_path(name)}/logs", None, params={"lines": lines, "follow": "true"}) as answer:
            yield from (line.decode("utf-8", "replace") for line in _lines(answer, self.url))
        raise Unreachable(self.url, "it ended the stream")

    # ── inside ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _data(self, method: str, path: str, **more: Any) -> Any:
        return self._envelope(method, path, **more)["data"]

    def _envelope(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        return answered(self._call(method, path, **more))

    def _call(self, method: str, path: str, **more: Any) -> requests.Response:
        import requests

        more.setdefault("timeout", self.timeout)
        if method != "GET" and "json" not in more:
            more["json"] = {}
        try:
            answer = self._session.request(method, f"{self.url}{path}", allow_redirects=False, **more)
        except requests.exceptions.InvalidJSONError as error:
            raise ApiError(422, "Invalid input", f"not JSON: {error}") from None
        except requests.RequestException as error:
            raise Unreachable(self.url, root_cause(error)) from None
        if not good(answer):
            with answer:
                raise _api_error(answer)
        return answer

    @contextmanager
    def _opened(self, path: str, silence: float | None, **more: Any) -> Iterator[requests.Response]:
        with self._call("GET", path, stream=True, timeout=(self.timeout, silence), **more) as answer:
            yield answer


class Answer(Protocol):
    """What is looked at of an answer that is JSON; `requests.Response` is one."""

    status_code: int
    reason: str

    def json(self) -> Any: ...


def good(answer: Answer) -> bool:
    return 200 <= answer.status_code < 300


def answered(answer: Answer) -> dict[str, Any]:
    """The envelope of what was asked for. Raises ApiError."""
    if not good(answer):
        raise _api_error(answer)
    body = _object(answer)
    if "data" not in body:
        raise _foreign(answer)
    return body


def _path(id: str) -> str:
    return f"/api/processes/{quote(str(id), safe='')}"


def _chosen(names: Sequence[str] | None, group: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {} if names is None else {"names": [*names]}
    return found if group is None else found | {"group": group}


def _param(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, _LIST | tuple | set | frozenset):
        return ",".join(str(part) for part in value)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _api_error(answer: Answer) -> ApiError:
    try:
        body = answer.json()
        return ApiError(answer.status_code, str(body["title"]), str(body.get("detail", "")), body.get("field"))
    except (ValueError, KeyError, TypeError):
        return _foreign(answer)


def _foreign(answer: Answer) -> Foreign:
    return Foreign(answer.status_code, answer.reason or "Error", "what answers there is no Headway exporter: check the address")


def _object(answer: Answer) -> dict[str, Any]:
    """The JSON object that is the answer. Raises ApiError for anything else."""
    try:
        body = answer.json()
    except ValueError:
        raise _foreign(answer) from None
    if not isinstance(body, dict):
        raise _foreign(answer)
    return body


def _lines(answer: requests.Response, url: str) -> Iterator[bytes]:
    """The lines of a body as they arrive. Raises Unreachable when the connection breaks."""
    import requests

    rest = b""
    try:
        for part in answer.iter_content(None):
            *lines, rest = (rest + part).split(b"\n")
            yield from lines
    except (requests.RequestException, OSError) as error:
        raise Unreachable(url, root_cause(error)) from None
    if rest:
        yield rest


def _events(lines: Iterator[bytes]) -> Iterator[Event]:
    """Server-sent events (WHATWG HTML, 9.2.6): fields until an empty line; lines that begin with a colon say nothing."""
    import json

    kind, data, last = "message", _LIST[str](), None
    for raw in lines:
        line = raw.decode("utf-8", "replace").removesuffix("\r")
        if not line:
            if data:
                yield Event(kind, json.loads("\n".join(data)), last)
            kind, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            kind = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            last = value


def _keepalive() -> _LIST[tuple[int, int, int]]:
    """Options of sockets on which the kernel notices within a minute that the other machine is gone, however silent they are."""
    from urllib3.connection import HTTPConnection

    options: _LIST[tuple[int, int, int]] = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options
