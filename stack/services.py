"""The services of the stack, as they are started with this clone's configuration. The exporter is started from here; the others are
services of the exporter, in a configuration file that is written for it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stack.layout import Layout
from stack.ports import HOST, Ports
from stack.problem import Problem
from stack.service import Service

NAMES: Final = ("exporter", "alertmanager", "prometheus", "grafana")  # in the order of their start
SUPERVISED: Final = NAMES[1:]
# Prometheus says for a quarter of an hour that an alert is over, and Alertmanager compares a message only with the last one of its
# group: what is over has to be said again within the shortest group_interval (30 s), or it is news each time. Evaluations come
# every 5 s, so this is every 25 s. Four times as long an alert holds when nothing more is said: Prometheus may begin anew then.
RESEND_DELAY: Final = "24s"
# Alerts that have to hold for so long, or longer, before they are said go on where they were when Prometheus begins anew; by
# default those that have to for ten minutes, of which there is none here.
GRACE_PERIOD: Final = "15s"
_CONFIG: Final = "HEADWAY_CONFIG"
_WEBHOOK: Final = "HEADWAY_WEBHOOK_URL"


def every(layout: Layout, ports: Ports, commands: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, Service]:
    """All of them by name; `commands` are those of Prometheus and Alertmanager. Raises Problem."""
    own = grafana_command(environ)
    return {
        "exporter": exporter(layout, ports, environ),
        "alertmanager": alertmanager(layout, ports, commands["alertmanager"], environ),
        "prometheus": prometheus(layout, ports, commands["prometheus"], environ),
        **({"grafana": grafana(layout, ports, own, environ)} if own is not None else {}),
    }


def exporter(layout: Layout, ports: Ports, environ: Mapping[str, str]) -> Service:
    """Without a Grafana here its links lead to its own pages, unless HEADWAY_GRAFANA_URL says where there is one."""
    data = layout.state / "exporter"
    chosen = configurations(layout, environ)
    configs = [*(chosen or [str(layout.root / "exporter/headway.yaml")]), str(layout.services)]
    links = {
        "HEADWAY_EXTERNAL_URL": ports.url("exporter"),
        "HEADWAY_GRAFANA_URL": ports.url("grafana") if grafana_command(environ) is not None else "none",
        "HEADWAY_PROMETHEUS_URL": ports.url("prometheus"),
        "HEADWAY_ALERTMANAGER_URL": ports.url("alertmanager"),
        "HEADWAY_ALERTING_SECRETS": str(secrets_folder(layout, environ)),
    }
    listen = f"{HOST}:{ports.exporter}"
    return Service(
        "exporter",
        (
            *(str(layout.venv / "bin/headway"), "serve"),
            *(word for config in configs for word in ("--config", config)),
            *("--listen", listen, "--data-dir", str(data)),
        ),
        ports.url("exporter"),
        "/ready",
        layout.log("exporter"),
        # Someone who reaches the machine by another name says so in the environment.
        env={name: environ.get(name) or url for name, url in links.items()},
        files={layout.config: os.pathsep.join(chosen)},
        reads=tuple(_read(Path(config)) for config in configs[:-1]),
    )


def secrets_folder(layout: Layout, environ: Mapping[str, str]) -> Path:
    """Where the secret files are that switch on receivers of alerts."""
    return layout.root / (environ.get("HEADWAY_ALERTING_SECRETS") or "alerting/secrets")


def configurations(layout: Layout, environ: Mapping[str, str]) -> list[str]:
    """Configuration files of the user's own: HEADWAY_CONFIG, which is remembered until it is given anew; empty forgets it."""
    given = environ.get(_CONFIG)
    if given is None:
        return [name for name in _read(layout.config).split(os.pathsep) if name]
    # Under make -C a relative path is meant from where it was typed.
    places = [Path.cwd(), Path(environ.get("PWD", "."))]
    names = [name.strip() for name in given.split(os.pathsep) if name.strip()]
    return [str(next((at / name for at in places if (at / name).exists()), places[0] / name)) for name in names]


def check_configurations(layout: Layout, environ: Mapping[str, str]) -> None:
    """Raises Problem for a configuration file of the user's own that cannot be read: it would be remembered for nothing."""
    for name in configurations(layout, environ):
        try:
            Path(name).read_bytes()
        except OSError as error:
            what = f"the configuration file {name} cannot be read ({error.strerror or error})"
            if environ.get(_CONFIG) is not None:
                raise Problem(f"{what}: {_CONFIG} names it; nothing was started or ended, and it is not remembered") from None
            raise Problem(f"{what}; {remembered_configurations(layout, environ)}") from None


def whose_configuration(layout: Layout, environ: Mapping[str, str]) -> str:
    """Whether what is wrong in it was given just now, and so is not remembered, or is remembered; "" when there is none of the
    user's own."""
    given = environ.get(_CONFIG)
    return f"{_CONFIG}={given} is not remembered" if given else remembered_configurations(layout, environ)


def remembered_configurations(layout: Layout, environ: Mapping[str, str]) -> str:
    """What is remembered of the user's own configuration, and how it is forgotten; "" when nothing is. `environ` tells whether it
    was given just now."""
    names = _read(layout.config)
    now = bool(environ.get(_CONFIG)) and os.pathsep.join(configurations(layout, environ)) == names
    since = "for later starts" if now else "from an earlier start"
    return f"{_CONFIG}={names} is remembered {since}; {_CONFIG}= make up forgets it" if names else ""


def prometheus(layout: Layout, ports: Ports, binary: str, environ: Mapping[str, str]) -> Service:
    """It runs in a folder with links to this clone's configuration and the two addresses that depend on the ports."""
    folder, source = layout.state / "prometheus", layout.root / "prometheus"
    config = folder / "config"
    return Service(
        "prometheus",
        (
            binary,
            f"--config.file={config / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--storage.tsdb.retention.time=30d",
            f"--web.listen-address={HOST}:{ports.prometheus}",
            *_reached_at(environ.get("HEADWAY_PROMETHEUS_URL") or ports.url("prometheus")),
            f"--rules.alert.resend-delay={RESEND_DELAY}",
            f"--rules.alert.for-grace-period={GRACE_PERIOD}",
            # Serves the runbook at /user/runbook.txt, where alerts point to; every browser shows that, not every one Markdown.
            f"--web.user-assets={folder / 'assets'}",
        ),
        ports.url("prometheus"),
        "/-/ready",
        layout.log("prometheus"),
        mark=f"--config.file={config / 'prometheus.yml'}",
        links={
            config / "prometheus.yml": source / "prometheus.yml",
            config / "rules": source / "rules",
            config / "fleet": source / "fleet",
            folder / "assets/runbook.txt": source / "runbook.md",
        },
        files={
            config / "targets/local.yml": f'- targets: ["{HOST}:{ports.exporter}"]\n',
            config / "alertmanagers/local.yml": f'- targets: ["{HOST}:{ports.alertmanager}"]\n',
        },
        kept_files=(config / "keys/fleet.key",),
    )


def alertmanager(layout: Layout, ports: Ports, binary: str, environ: Mapping[str, str]) -> Service:
    """With the receivers that are switched on (docs/alerting.md). HEADWAY_WEBHOOK_URL is remembered until it is given anew; empty
    forgets it. Raises Problem when a secret cannot be used."""
    folder = layout.state / "alertmanager"
    remembered = folder / "webhook.url"
    given = environ.get(_WEBHOOK)
    url = given.strip() if given is not None else _read(remembered)
    rendered = subprocess.run(
        (
            *(str(layout.venv / "bin/headway"), "alerting", "render"),
            *("--for", version(binary), "--exporter", ports.url("exporter")),
            *("--base", str(layout.root / "alerting/alertmanager.yml"), "--secrets", str(secrets_folder(layout, environ))),
        ),
        env={**environ, _WEBHOOK: url},
        capture_output=True,
        text=True,
    )
    if rendered.returncode:
        raise Problem(rendered.stderr.strip().removeprefix("headway: "))
    return Service(
        "alertmanager",
        (
            binary,
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address={HOST}:{ports.alertmanager}",
            *_reached_at(environ.get("HEADWAY_ALERTMANAGER_URL") or ports.url("alertmanager")),
            "--cluster.listen-address=",  # one on this machine; without this it would take a fifth port
        ),
        ports.url("alertmanager"),
        "/-/ready",
        layout.log("alertmanager"),
        mark=f"--config.file={folder / 'alertmanager.yml'}",
        secret_files={folder / "alertmanager.yml": rendered.stdout, remembered: url},
    )


def _reached_at(url: str) -> tuple[str, ...]:
    """What its links begin with. A path in there is that of a proxy, and none of its own."""
    return f"--web.external-url={url}", "--web.route-prefix=/"


def grafana_command(environ: Mapping[str, str]) -> tuple[str, ...] | None:
    """How Grafana is called on this machine; None when it has none."""
    path = environ.get("PATH", os.defpath)
    if binary := shutil.which("grafana", path=path):
        command: tuple[str, ...] = (binary, "server")
    elif binary := shutil.which("grafana-server", path=path):
        command = (binary,)
    else:
        return None
    # An unpacked archive has its pages beside bin/, a package has them here.
    home = next((p for p in (Path(binary).resolve().parent.parent, Path("/usr/share/grafana")) if (p / "conf").is_dir()), None)
    return command if home is None else (*command, "--homepath", str(home))


def grafana(layout: Layout, ports: Ports, command: tuple[str, ...], environ: Mapping[str, str]) -> Service:
    """grafana/grafana.ini holds what does not depend on ports and folders."""
    folder, source = layout.state / "grafana", layout.root / "grafana"
    return Service(
        "grafana",
        (*command, "--config", str(source / "grafana.ini")),
        ports.url("grafana"),
        "/api/health",
        layout.log("grafana"),
        mark=str(source / "grafana.ini"),
        env={
            "GF_SERVER_HTTP_ADDR": HOST,
            "GF_SERVER_HTTP_PORT": str(ports.grafana),
            "GF_SERVER_ROOT_URL": ports.url("grafana"),
            "GF_PATHS_DATA": str(folder / "data"),
            "GF_PATHS_LOGS": str(folder / "log"),
            "GF_PATHS_PLUGINS": str(folder / "plugins"),
            "GF_PATHS_PROVISIONING": str(source / "provisioning"),
            # Read by grafana.ini and the provisioning files.
            "DASHBOARDS_DIR": str(source / "dashboards"),
            "PROMETHEUS_URL": ports.url("prometheus"),
            "ALERTMANAGER_URL": ports.url("alertmanager"),
            # Nothing is asked there unless somebody opens a row of logs.
            "LOKI_URL": environ.get("HEADWAY_LOKI_URL") or "http://127.0.0.1:3100",
        },
        folders=(folder / "data", folder / "log", folder / "plugins"),
    )


def configuration(every: Mapping[str, Service]) -> str:
    """The configuration file that makes all others services of the exporter. JSON, which is YAML too: what writes YAML need not be
    there when this is made."""
    services = {
        one.name: {
            "command": list(one.command),
            "env": dict(one.env),
            "port": one.port,
            "health": {"http": one.url + one.ready, "interval": "10s"},
            # Called by a script of ours it has other words than those above; these it keeps.
            "match": re.escape(one.mark),
            "group": "stack",
            "description": f"{one.name} of this stack",
            "restart": {"policy": "always", "tries": 0},
            "start_timeout": "60s",
            "stop_grace": "10s",
        }
        for one in every.values()
        if one.name != "exporter"
    }
    return json.dumps({"services": services}, indent=1) + "\n"


def version(binary: str) -> str:
    """What an Alertmanager, or amtool, says of itself: 0.25 on standard error, newer ones on standard output."""
    done = subprocess.run((binary, "--version"), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    found = re.search(r"version v?(\d+\.\d+)", done.stdout + done.stderr)
    if found is None:
        raise Problem(f"{binary} --version does not say of which Alertmanager it is")
    return found[1]


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
