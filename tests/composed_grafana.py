"""Runs in place of Grafana in its container: looks at its environment, its mounts and its provisioning files as Grafana would read
them, writes what it found to its volume, and is healthy only if all is well."""

from __future__ import annotations

import configparser
import json
import os
import re
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import yaml

REPORT = Path("/var/lib/grafana/report.json")
PROVISIONING = Path("/etc/grafana/provisioning")


def filled(text: str) -> str:
    """With variables as Grafana fills them in: `$NAME` and `$__env{NAME}`. KeyError for one that is not set."""
    return re.sub(r"\$__env\{(\w+)\}|\$([A-Z]\w+)", lambda found: os.environ[found[1] or found[2]], text)


def writable(path: str) -> bool:
    try:
        probe = Path(path) / ".probe"
        probe.write_text("")
        probe.unlink()
    except OSError:
        return False
    return True


def look() -> dict[str, Any]:
    """What there is; raises for what Grafana could not work with."""
    ini = configparser.ConfigParser(interpolation=None)
    assert ini.read("/etc/grafana/grafana.ini"), "grafana.ini"
    sources = yaml.safe_load((PROVISIONING / "datasources/headway.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((PROVISIONING / "dashboards/headway.yml").read_text())["providers"]
    folder = Path(filled(provider["options"]["path"]))
    boards = {path.stem: json.loads(path.read_text())["uid"] for path in folder.glob("*.json")}
    home = Path(filled(ini["dashboards"]["default_home_dashboard_path"]))
    assert home.is_file(), home
    urls = {one["uid"]: filled(one["url"]) for one in sources}
    answers = {}
    for uid, path in (("prometheus", "/-/ready"), ("alertmanager", "/-/ready")):
        with urllib.request.urlopen(urls[uid] + path, timeout=5) as answer:
            answers[uid] = answer.status
    return {
        "urls": urls,
        "answers": answers,
        "dashboards": boards,
        "home": home.name,
        "listens": os.environ["GF_SERVER_HTTP_ADDR"],
        "root_url": os.environ["GF_SERVER_ROOT_URL"],
        "writable": {
            path: writable(path) for path in ("/", "/etc/grafana", str(PROVISIONING), str(folder), "/var/lib/grafana", "/tmp")
        },
        "uid": os.getuid(),
        "capabilities": re.search(r"CapEff:\s*(\w+)", Path("/proc/self/status").read_text())[1],  # type: ignore[index]
    }


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/api/health" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    report = look()
    starts = json.loads(REPORT.read_text())["starts"] if REPORT.exists() else 0
    REPORT.write_text(json.dumps(report | {"starts": starts + 1}))
    print("all that Grafana needs is here", flush=True)
    sys.exit(HTTPServer((os.environ["GF_SERVER_HTTP_ADDR"], 3000), Health).serve_forever())  # type: ignore[func-returns-value]
