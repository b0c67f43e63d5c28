"""The real Prometheus with the rules of this clone in haste: every second, with the waiting times of the alerts cut short."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import requests
import yaml

from live_stack import ROOT, fetch, free_ports
from waiting import wait_until

# What is too long for a test. Longest first, `for` is longer than a restart of the exporter still less than `keep_firing_for`.
HASTE = ((r"^( +)for: \w+", r"\1for: 2s"), (r"^( +)keep_firing_for: \w+", r"\1keep_firing_for: 5s"))
# Growth of memory is judged by five minutes, and so are the counters of the exporter. What a program loads when it begins is no
# growth: among five minutes it is little, from fifteen seconds it has to be kept out.
WINDOWS = ((r"\[5m\]", "[15s]"), (r"\[1m\]", "[5s]"), (r">= 300\b", ">= 25"))


class RunningPrometheus:
    """Scrapes what `watch` names each second and tells the Alertmanager at `alertmanager`, what goes on or is over once more after
    `resend`. Alerts that were to hold for `grace` or longer before they were said go on where they were when it begins anew."""

    def __init__(self, folder: Path, alertmanager: str, *, resend: str = "5s", grace: str = "2s") -> None:
        self.folder = folder
        self.resend, self.grace = resend, grace
        self.port = free_ports(1)[0]
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "rules").mkdir(parents=True)
        for path in (ROOT / "prometheus/rules").glob("*.yml"):
            if path.name not in ("dashboards.yml", "trends.yml"):
                (folder / "rules" / path.name).write_text(in_haste(path.read_text()))
        self.watch()
        config: dict[str, Any] = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules/*.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.removeprefix("http://")]}]}]},
            "scrape_configs": [{"job_name": "headway", "file_sd_configs": [{"files": ["targets.json"]}]}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def watch(self, *exporters: str) -> None:
        """Addresses as host:port; it reads the file again as soon as it changes."""
        new = self.folder / "targets.new"
        new.write_text(json.dumps([{"targets": list(exporters)}]))
        new.replace(self.folder / "targets.json")

    def start(self) -> RunningPrometheus:
        binary = shutil.which("prometheus", path=f"{os.environ.get('PATH', os.defpath)}:{ROOT / '.headway/bin'}")
        assert binary is not None
        where = (f"--web.listen-address=127.0.0.1:{self.port}", f"--storage.tsdb.path={self.folder / 'data'}")
        flags = (f"--rules.alert.resend-delay={self.resend}", f"--rules.alert.for-grace-period={self.grace}")
        how = (f"--web.external-url={self.url}", *flags)
        with (self.folder / "log").open("ab") as log:
            command = (binary, f"--config.file={self.folder / 'prometheus.yml'}", *where, *how)
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

        def ready() -> bool:
            try:
                return requests.get(f"{self.url}/-/ready", timeout=2).ok
            except requests.RequestException:
                return False

        wait_until(ready, 30, "Prometheus to be ready")
        return self

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)
            self.process = None

    def query(self, promql: str) -> list[tuple[dict[str, str], float]]:
        answer = fetch(f"{self.url}/api/v1/query", query=promql)
        return [(row["metric"], float(row["value"][1])) for row in answer["data"]["result"]]


def in_haste(rules: str) -> str:
    for pattern, shorter in (*HASTE, *WINDOWS):
        rules = re.sub(pattern, shorter, rules, flags=re.M)
    return rules
