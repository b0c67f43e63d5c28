"""What is over is told once, also where others of its message go on: Prometheus says again and again that it is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from stack.layout import Layout
from stack.ports import Ports

from alertmanagers import RunningAlertmanager, binaries
from headway.durations import parse_duration
from live_stack import ROOT, fetch
from prometheus_server import RunningPrometheus
from stack import services
from standins import StandIns
from waiting import wait_until

FLAG = "--rules.alert.resend-delay="
GRACE_FLAG = "--rules.alert.for-grace-period="
# So many times shorter than in use are the intervals here.
HASTE = 5


def flag(name: str) -> dict[str, float]:
    """In seconds, as `make up` and compose.yaml start Prometheus."""
    native = services.prometheus(Layout.of({}), Ports.of({}), "prometheus", {}).command
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["prometheus"]["command"]
    found = {"make up": native, "compose.yaml": composed}
    flags = {where: next(word for word in words if word.startswith(name)) for where, words in found.items()}
    return {where: parse_duration(word.removeprefix(name)) for where, word in flags.items()}


def rules_that_wait() -> dict[str, float]:
    """How long (s) what an alert says has to hold before it is said, by the alert's name: of those of our rules where it has to."""
    files = [yaml.safe_load(path.read_text()) for path in (ROOT / "prometheus/rules").glob("*.yml")]
    rules = [rule for file in files for group in file["groups"] for rule in group["rules"]]
    return {rule["alert"]: parse_duration(rule["for"]) for rule in rules if "for" in rule}


def routes(route: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield route
    for one in route.get("routes", ()):
        yield from routes(one)


RULES = """
groups:
  - name: asking
    rules:
      - {alert: HeadwayWaitingForPerson, expr: asks == 1, labels: {severity: warning, gate: waiting}}
"""


class Asking:
    """Metrics of processes that wait for a person."""

    def __init__(self) -> None:
        self.names = {"a", "b", "c"}
        asking = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = "".join(f'asks{{id="{name}",name="{name}"}} 1\n' for name in sorted(asking.names)).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def test_what_is_over_is_said_again_within_the_interval_of_every_group() -> None:
    """Alertmanager forgets what is over with the message that says it, and compares with the last message only."""
    alertmanager = yaml.safe_load((ROOT / "alerting/alertmanager.yml").read_text())
    shortest = min(parse_duration(one["group_interval"]) for one in routes(alertmanager["route"]) if "group_interval" in one)
    evaluation = parse_duration(yaml.safe_load((ROOT / "prometheus/prometheus.yml").read_text())["global"]["evaluation_interval"])
    graces = flag(GRACE_FLAG)
    for name, delay in flag(FLAG).items():
        assert delay % evaluation, "at an evaluation: that one is too early for it, and it waits for another"
        often = (delay // evaluation + 1) * evaluation
        assert often < shortest, name
        # From the last word on it is valid for four times as long: so long Prometheus may need to begin anew. What it does not go
        # on with has to hold again first.
        longest = max(held for held in (0.0, *rules_that_wait().values()) if held < graces[name])
        assert 4 * delay - often > longest + 2 * evaluation, name


def test_what_is_over_is_told_once_beside_what_goes_on(tmp_path: Path, tools: None) -> None:
    """Three wait for a person; of two it is over, in turns of their own."""
    news = 30 / HASTE
    with ExitStack() as ending:
        standins = StandIns(tmp_path / "secrets")
        ending.callback(standins.close)
        standins.only_webhook()
        alertmanager = RunningAlertmanager(tmp_path, binaries()[0], standins.folder, news=f"{news:g}s").start()
        ending.callback(alertmanager.stop)
        asking = Asking()
        ending.callback(asking.close)
        resend = flag(FLAG)["make up"] / HASTE
        prometheus = RunningPrometheus(tmp_path / "prometheus", alertmanager.url, resend=f"{resend * 1000:.0f}ms")
        for path in (tmp_path / "prometheus/rules").iterdir():
            path.unlink()
        (tmp_path / "prometheus/rules/asking.yml").write_text(RULES)
        prometheus.watch(asking.address)
        prometheus.start()
        ending.callback(prometheus.stop)

        def told() -> list[set[tuple[str, str]]]:
            return [{(a["labels"]["id"], a["status"]) for a in m["alerts"]} for m in list(standins.webhook.messages)]

        wait_until(lambda: told() and {one for one, _ in told()[-1]} == {"a", "b", "c"}, 30, "all three")
        asking.names.remove("a")
        wait_until(lambda: ("a", "resolved") in told()[-1], 30, "that the first is over")
        asking.names.remove("b")
        wait_until(lambda: ("b", "resolved") in told()[-1], 30, "that the second is over")
        before = len(told())
        # Three more turns of the group.
        until = time.monotonic() + 3.3 * news
        wait_until(lambda: len(told()) > before or time.monotonic() > until, 4 * news, "its turns")
        assert told()[before:] == []
        assert ("c", "firing") in told()[-1]


HELD = """
groups:
  - name: asking
    rules:
      - {alert: Held, expr: asks == 1, for: 12s}
"""


def test_an_alert_goes_on_where_it_was_when_prometheus_begins_anew(tmp_path: Path, tools: None) -> None:
    """It is said at once, not after it has held once more for as long as it has to."""
    assert flag(GRACE_FLAG) == dict.fromkeys(flag(GRACE_FLAG), min(rules_that_wait().values())), "all of ours do"
    with ExitStack() as ending:
        asking = Asking()
        ending.callback(asking.close)
        asking.names = {"a"}
        prometheus = RunningPrometheus(tmp_path / "prometheus", "http://127.0.0.1:1", grace="12s")
        for path in (tmp_path / "prometheus/rules").iterdir():
            path.unlink()
        (tmp_path / "prometheus/rules/held.yml").write_text(HELD)
        prometheus.watch(asking.address)
        prometheus.start()
        ending.callback(prometheus.stop)

        def since() -> str | None:
            """When it began, once it is said."""
            alerts = fetch(f"{prometheus.url}/api/v1/alerts")["data"]["alerts"]
            return next((alert["activeAt"] for alert in alerts if alert["state"] == "firing"), None)

        wait_until(lambda: since() is not None, 40, "that it is said")
        before = since()
        prometheus.stop()
        prometheus.start()
        wait_until(lambda: since() is not None, 40, "that it is said again")
        after = since()
        assert before is not None and after is not None
        assert after[:19] == before[:19], "it is kept in whole seconds"
