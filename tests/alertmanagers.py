"""The real Alertmanager with a configuration that was rendered for it, on a free port."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import requests

from cli import headway
from headway.alerting.client import Alertmanager, moment
from headway.alerting.version import BINARIES, Version, version_of
from live_stack import ROOT, free_ports
from waiting import wait_until


def binaries() -> list[str]:
    """The one that is installed here, and another whose path is in HEADWAY_TEST_ALERTMANAGER (a newer one)."""
    path = f"{os.environ.get('PATH', os.defpath)}:{ROOT / '.headway/bin'}"
    installed = next((found for name in BINARIES if (found := shutil.which(name, path=path))), "alertmanager")
    other = os.environ.get("HEADWAY_TEST_ALERTMANAGER")
    return [installed, other] if other else [installed]


def relays_teams(binary: str) -> bool:
    """Whether messages to Microsoft Teams go through the exporter: Alertmanager knows its cards from 0.28 on."""
    return version_of(binary) < Version(0, 28)


# An alert as the rules make it: its labels, what it says, its links.
PROCESS = "http://exporter.example:14323/processes/0192f0c1-8f7a"
LINKS = {
    "process_url": PROCESS,
    "dashboard_url": "http://grafana.example/d/headway-process?var-id=0192f0c1-8f7a",
    "runbook_url": "http://prometheus.example/user/runbook.txt#:~:text=HeadwayProcessStuck",
}
LABELS = {
    "alertname": "HeadwayProcessStuck",
    "severity": "warning",
    "instance": "127.0.0.1:14323",
    "id": "0192f0c1-8f7a",
    "name": "Nightly import",
    "kind": "cron",
}
SAID = {
    "summary": "A process writes nothing and gets no further",
    "description": "The cron Nightly import (0192f0c1-8f7a) runs, but has written no line for 2m 5s; usual are 10s.",
}
INTERVALS = tuple(f"group_interval: {given}" for given in ("30s", "5m"))


class RunningAlertmanager:
    """`quick`: groups are told of at once and every second (`news`), so that tests need not wait for what people want."""

    def __init__(
        self, folder: Path, binary: str, secrets: Path, exporter: str = "", *, quick: bool = True, news: str = "1s", **environ: str
    ) -> None:
        self.folder, self.binary = folder, binary
        self.port = free_ports(1)[0]
        self.config = folder / "alertmanager.yml"
        base = folder / "base.yml"
        text = (ROOT / "alerting/alertmanager.yml").read_text()
        if quick:
            waits = (("group_wait: 3s", "300ms"), ("group_wait: 20s", "300ms"))
            for setting, value in (*waits, *((interval, news) for interval in INTERVALS)):
                assert setting in text
                text = text.replace(setting, f"{setting.split(':')[0]}: {value}")
        base.write_text(text)
        flags = ("--base", str(base), "--secrets", str(secrets), "--templates", str(ROOT / "alerting/templates"))
        done = headway(
            *("alerting", "render", *flags, "--out", str(self.config), "--exporter", exporter or "http://127.0.0.1:9"),
            environ={"PATH": f"{Path(binary).parent}:{os.defpath}", **environ},
        )
        assert done.returncode == 0, done.stderr
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def client(self) -> Alertmanager:
        return Alertmanager(self.url)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> RunningAlertmanager:
        command = (
            self.binary,
            f"--config.file={self.config}",
            f"--storage.path={self.folder / 'data'}",
            "--cluster.listen-address=",
        )
        where = (f"--web.listen-address=127.0.0.1:{self.port}", f"--web.external-url={self.url}")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen((*command, *where), stdout=log, stderr=log, start_new_session=True)

        def ready() -> bool:
            try:
                return requests.get(f"{self.url}/-/ready", timeout=2).ok
            except requests.RequestException:
                return False

        wait_until(ready, 30, f"{self.binary} to be ready")
        return self

    def stop(self) -> None:
        if self.process is not None:
            # The wrapper of an unpacked package executes the program in its place, so this reaches it.
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def fire(self, labels: dict[str, str], annotations: dict[str, str] | None = None, *, resolve: bool = False) -> None:
        """Posts an alert as Prometheus does; `resolve`: the same alert is over."""
        self.fire_all([(labels, annotations or {})], resolve=resolve)

    def fire_all(self, alerts: list[tuple[dict[str, str], dict[str, str]]], *, resolve: bool = False) -> None:
        """Labels and annotations of each, all at the same moment."""
        now = time.time()
        times = {"startsAt": moment(now - 60), "endsAt": moment(now - 0.1 if resolve else now + 300)}
        self.client.post_alerts([{"labels": labels, "annotations": said, **times} for labels, said in alerts])
