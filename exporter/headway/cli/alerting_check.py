"""`headway alerting check`: which receivers are live, by which way, and what becomes of a test alert."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from headway.alerting.client import Alertmanager, moment
from headway.alerting.receivers import Block, block
from headway.alerting.rendering import EVERYTHING
from headway.alerting.routes import routes_taken
from headway.alerting.secrets import CRITICAL, FILES, WEBHOOK_VARIABLE, Secret, read_secrets
from headway.alerting.version import Version, find_binary, parse_version, version_of
from headway.cli.exits import CommandError, Exit
from headway.durations import format_duration
from headway.errors import Unreachable
from headway.settings import SETTINGS

TextFor = Callable[[argparse.Namespace, Version], str]
TEST_ALERT: Final = "HeadwayTest"
# How long a test alert fires beyond the wait of its group, and how much longer than that its message may take (s).
FIRES: Final = 20.0
PATIENCE: Final = 15.0
# What is to be done, where the stack of make up is meant.
WHY: Final = "the log of Alertmanager says why (headway logs alertmanager, where make up started it)"
ON: Final = "nothing would arrive; put a secret into one of the files above, then make down up"


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--alertmanager", metavar="URL", help=alertmanager_help())
    parser.add_argument("--send", action="store_true", help="send a test alert, and wait for what becomes of it")
    parser.add_argument("--severity", choices=("warning", "critical"), default="warning", help="how bad the test alert is")


def alertmanager_help() -> str:
    row = SETTINGS["alertmanager_url"]
    return f"where Alertmanager is; default: ${row.variable}, else {row.default}"


def find_alertmanager(url: str | None) -> Alertmanager:
    row = SETTINGS["alertmanager_url"]
    found = url or os.environ.get(row.variable) or row.default
    if found == "none":
        raise CommandError(f"{row.variable} is none: give --alertmanager URL to ask one all the same", Exit.USAGE)
    return Alertmanager(found if "://" in found else f"http://{found}")


def check(args: argparse.Namespace, text_for: TextFor) -> int:
    from headway.cli.alerting import secrets_folder, target, wanted_version

    alertmanager = find_alertmanager(args.alertmanager)
    status: dict[str, Any] | None = None
    try:
        status = alertmanager.status()
    except Unreachable as error:
        if args.send:
            raise
        print(f"Alertmanager: {error.detail}")
    if status is not None:
        version = parse_version(args.of_version or status["versionInfo"]["version"])
        print(f"Alertmanager {status['versionInfo']['version']} runs at {alertmanager.url}")
    else:
        version = wanted_version(args)
        print(f"the configuration would be for Alertmanager {version}")
    secrets = read_secrets(secrets_folder(args), os.environ)
    blocks = [(secret, block(secret, target(args, version))) for secret in secrets]
    print("\n".join(picture(secrets_folder(args), blocks)))
    text = text_for(args, version)
    valid = amtool_says(text, version)
    loaded = sections_of(status["config"]["original"]) if status is not None else None
    if loaded is not None and one_webhook_more(loaded, sections_of(text)):
        print(f"the running Alertmanager has one webhook more: that of {WEBHOOK_VARIABLE}, which make up remembers")
    elif loaded is not None and loaded != sections_of(text):
        print(f"not in force yet: the running Alertmanager has {listed(loaded) or 'no receiver'}; make down up loads what is above")
    if args.send and status is not None:
        return send(alertmanager, args.severity, loaded or {}, status["config"]["original"])
    if not valid:
        return Exit.FAILED
    return Exit.OK if status is not None else Exit.UNREACHABLE


def picture(folder: Path, blocks: Sequence[tuple[Secret, Block]]) -> list[str]:
    """What is switched on, and what is not, a line each."""
    lines = []
    for secret, made in blocks:
        what = "critical alerts" if secret.critical_only else "every alert"
        lines.append(f"  on   {secret.kind:<9} {what}, {made.way} ({secret.path or WEBHOOK_VARIABLE})")
        if made.relayed:
            lines.append("       that the exporter itself is down cannot be said there")
    on = {secret.kind for secret, _ in blocks}
    lines += [
        f"  off  {name.split('.')[0]:<9} put its secret into {folder / name}" for name in FILES if name.split(".")[0] not in on
    ]
    return lines if on else [*lines, "nothing is switched on: alerts are only shown, in Alertmanager, Prometheus and Grafana"]


def unpacked() -> Path:
    """Where `make up` puts what the machine does not have: in the clone whose .headway/env this shell has read, or here."""
    return Path(os.environ.get("HEADWAY_SHELL") or ".headway/env").parent / "bin"


def amtool_says(text: str, version: Version) -> bool:
    """Whether the rendered configuration is valid for this Alertmanager; says what is wrong with it."""
    amtool = find_binary("amtool", os.environ.get("PATH", os.defpath), unpacked())
    if amtool is None:
        print("the configuration was not checked: there is no amtool here")
        return True
    if (known := version_of(amtool)) != version:  # it knows other fields: those of its own version
        print(f"the configuration was not checked: it is for Alertmanager {version}, and {amtool} is of {known}")
        return True
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:  # mode 0600
        file.write(text)
        file.flush()
        done = subprocess.run((amtool, "check-config", file.name), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        print(f"the configuration is not valid for {amtool}:\n{(done.stdout + done.stderr).strip()}")
    else:
        print("the configuration is valid (amtool)")
    return done.returncode == 0


def sections_of(text: str) -> dict[str, dict[str, int]]:
    """By receiver of a configuration: how many integrations of each kind it has."""
    import yaml

    content = yaml.safe_load(text)
    return {
        one["name"]: counted
        for one in content.get("receivers", ())
        if (counted := {key: len(value) for key, value in one.items() if key.endswith("_configs") and value})
    }


def one_webhook_more(loaded: dict[str, dict[str, int]], wanted: dict[str, dict[str, int]]) -> bool:
    """Whether that is the only difference."""
    section = "webhook_configs"
    more = {
        name: {**wanted.get(name, {}), section: wanted.get(name, {}).get(section, 0) + 1} if name != CRITICAL else wanted.get(name)
        for name in loaded
    }
    return bool(loaded) and set(wanted) <= set(loaded) and loaded == more


def listed(sections: dict[str, dict[str, int]]) -> str:
    kinds = {section.removesuffix("_configs"): None for one in sections.values() for section in one}
    return ", ".join(kinds)


def send(alertmanager: Alertmanager, severity: str, loaded: dict[str, dict[str, int]], original: str) -> int:
    """Sends the test alert, and waits until every receiver was tried. `original`: the configuration that Alertmanager has."""
    import yaml

    expected: Counter[str] = Counter()
    for receiver in (EVERYTHING, CRITICAL) if severity == CRITICAL else (EVERYTHING,):
        for section, count in loaded.get(receiver, {}).items():
            expected[section.removesuffix("_configs")] += count
    if not expected:
        raise CommandError(f"the running Alertmanager has no receiver for this: {ON}", Exit.FAILED)
    before, now = alertmanager.counts(), time.time()
    labels = {"alertname": TEST_ALERT, "severity": severity, "id": f"test-{int(now * 1000)}"}
    labels["instance"] = f"{socket.gethostname()} (test {time.strftime('%H:%M:%S')})"  # a group, and so a message, of its own
    annotations = {
        "summary": "This is a test of Headway's messages",
        "description": "Somebody asked for it by headway alerting check --send. Nothing is wrong, and it resolves itself.",
    }
    routes = routes_taken(yaml.safe_load(original)["route"], labels)
    wait = max(route.wait for route in routes)
    over = max(route.looked_at_after(wait + FIRES) for route in routes)
    ends = now + wait + FIRES
    alert = {"labels": labels, "annotations": annotations, "startsAt": moment(now), "endsAt": moment(ends)}
    alertmanager.post_alerts([alert])
    print(f"sent: the message «{annotations['summary']}» goes to {', '.join(sorted(expected))} in {format_duration(wait)},")
    print(f"and that it is over follows in about {format_duration(over)}")
    deadline, arrived = now + wait + PATIENCE, False
    while not arrived and time.time() < deadline:
        time.sleep(0.3)
        counts = alertmanager.counts()
        arrived = all(_delivered(counts, before, name) >= count for name, count in expected.items())
    counts = alertmanager.counts()
    for name, count in sorted(expected.items()):
        delivered, failed = _delivered(counts, before, name), _failed(counts, before, name)
        words = "delivered" if delivered >= count else f"failed: {WHY}" if failed else "not tried yet"
        print(f"  {name:<9} {words}")
    return Exit.OK if arrived else Exit.FAILED


Counts = Mapping[str, tuple[float, float]]


def _failed(counts: Counts, before: Counts, name: str) -> float:
    return counts.get(name, (0.0, 0.0))[1] - before.get(name, (0.0, 0.0))[1]


def _delivered(counts: Counts, before: Counts, name: str) -> float:
    return counts.get(name, (0.0, 0.0))[0] - before.get(name, (0.0, 0.0))[0] - _failed(counts, before, name)
