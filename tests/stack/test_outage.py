"""The exporter was away, and somebody waits for what happened there: real exporter, Prometheus and Alertmanager."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from alertmanagers import RunningAlertmanager, binaries
from headway import Client
from live_stack import fetch, free_ports
from prometheus_server import RunningPrometheus
from running import RunningExporter
from standins import StandIns
from waiting import wait_until


def test_what_ends_when_the_exporter_is_back_is_told_at_once(tmp_path: Path, tools: None) -> None:
    with ExitStack() as ending:
        standins = StandIns(tmp_path / "secrets")
        ending.callback(standins.close)
        standins.only_webhook()
        # Whoever misses the first turn is told long after this test has given up.
        alertmanager = RunningAlertmanager(tmp_path, binaries()[0], standins.folder, news="10m").start()
        ending.callback(alertmanager.stop)
        exporter = RunningExporter(tmp_path / "exporter", ("--alertmanager-url", alertmanager.url), port=free_ports(1)[0]).start()
        ending.callback(exporter.kill)
        prometheus = RunningPrometheus(tmp_path / "prometheus", alertmanager.url).start()
        ending.callback(prometheus.stop)
        prometheus.watch(exporter.url.removeprefix("http://"))
        wait_until(lambda: prometheus.query('up{job="headway"} == 1'), 60, "the first scrape")
        client = Client(exporter.url, exporter.key)
        runs = {name: str(client.create(name, "pipeline")["id"]) for name in ("breaks", "finishes")}

        def known() -> set[str]:
            return {alert["labels"]["alertname"] for alert in fetch(f"{alertmanager.url}/api/v2/alerts", active="true")}

        def told() -> set[tuple[str, str]]:
            alerts = [alert["labels"] for message in list(standins.webhook.messages) for alert in message["alerts"]]
            return {(labels["alertname"], labels.get("name", "")) for labels in alerts}

        exporter.kill()
        wait_until(lambda: {"HeadwayExporterDown", "ExporterAway"} <= known(), 60, "that it is away")
        exporter.start()
        client.update(runs["breaks"], status="failed", error="no space left")
        client.update(runs["finishes"], status="done")
        expected = {("HeadwayProcessFailed", "breaks"), ("HeadwayProcessEnded", "finishes")}
        wait_until(lambda: expected <= told(), 30, "how they ended")
        assert ("ExporterAway", "") not in told()
