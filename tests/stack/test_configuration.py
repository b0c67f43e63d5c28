"""The files of the stack agree with each other and with the code: rules and metrics, alerts and runbook, compose and make."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from stack.ports import DEFAULTS, variable
from stack.up import EXTRAS

from composing import find_compose
from headway.configuration import load
from headway.metrics.families import FAMILIES
from headway.metrics.family import Type
from headway.settings import SETTINGS, Settings
from live_stack import ROOT, LiveStack
from waiting import wait_until

RULES = sorted((ROOT / "prometheus/rules").glob("*.yml"))
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())


def rules() -> Iterator[dict[str, Any]]:
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from group["rules"]


ALERTS = [rule for rule in rules() if "alert" in rule]


# ── rules ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_metric_in_a_rule_exists() -> None:
    known = {family.name for family in FAMILIES} | {rule["record"] for rule in rules() if "record" in rule}
    for family in FAMILIES:
        if family.type is Type.HISTOGRAM:
            known |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
    for rule in rules():
        texts = [rule["expr"], *rule.get("annotations", {}).values()]
        for text in texts:
            used = set(re.findall(r"\b(?:instance_\w+:)?headway_[a-z_]+(?::\w+)?", text))
            for pattern in re.findall(r"""__name__=~["']([^"']+)["']""", text):
                used = {u for u in used if not u.startswith(pattern.split("(")[0])}
                head, _, tail = pattern.partition("(")
                inner, _, end = tail.partition(")")
                used |= {head + middle + end for middle in inner.split("|")}
            assert used <= known, f"{rule.get('alert') or rule['record']}: {sorted(used - known)}"


def test_every_alert_says_what_where_and_what_to_do() -> None:
    runbook = (ROOT / "prometheus/runbook.md").read_text()
    headings = re.findall(r"^## (\w+)$", runbook, re.M)
    assert sorted(headings) == sorted({rule["alert"] for rule in ALERTS}), "one section for each alert, and none for others"
    for section in re.split(r"^## ", runbook, flags=re.M)[1:]:
        assert re.findall(r"^\*\*([\w ]+?)\.?\*\*", section, re.M) == ["Meaning", "Impact", "Look at", "Do"], section[:30]
    for rule in ALERTS:
        notes = rule["annotations"]
        assert {"summary", "description", "runbook_url", "dashboard_url"} <= set(notes)
        assert notes["runbook_url"] == f"{{{{ $externalURL }}}}/user/runbook.txt#:~:text={rule['alert']}"
        assert "{{" not in notes["summary"], "one sentence for all alerts of a kind"
        assert rule["labels"]["severity"] in ("none", "info", "warning", "critical")
        # Names and messages may hold anything: they belong into annotations, and nothing is matched against them.
        assert set(rule["labels"]) - {"of"} == {"severity", "gate"} and not any("{{" in text for text in rule["labels"].values())


def test_every_alert_has_a_unit_test() -> None:
    tested = "".join(path.read_text() for path in (ROOT / "prometheus/tests").glob("*.yml"))
    assert {f"alertname: {rule['alert']}" for rule in ALERTS if f"alertname: {rule['alert']}" not in tested} == set()


def test_what_keeps_the_ends_back_is_over_before_they_are_heard_of() -> None:
    """Groups are evaluated at moments of their own, and the rules of one in their order."""
    (down,) = [rule for rule in ALERTS if rule["alert"] == "HeadwayExporterDown"]
    holders = []
    for path in RULES:
        for group in yaml.safe_load(path.read_text())["groups"]:
            gates = [(rule.get("alert"), rule.get("labels", {}).get("gate")) for rule in group["rules"]]
            if any(gate in ("failed", "orphaned", "timed_out") for _, gate in gates):
                holders.append(group["rules"][0])
    (away,) = holders
    assert away["alert"] == "ExporterAway" and "keep_firing_for" not in away
    assert (away["expr"], away["for"]) == (down["expr"], down["for"])


def test_alerts_link_to_the_dashboard_that_shows_them() -> None:
    for rule in ALERTS:
        url = rule["annotations"]["dashboard_url"]
        found = re.search(r'label "grafana_url" \}\}/d/([\w-]+)(.*?)(?=\{\{-? (?:else|end) )', url, re.DOTALL)
        if found is None:
            assert url.rpartition("/")[2] in ("services", "alerts"), rule["alert"]
            continue
        board, query = found.groups()
        content = json.loads((ROOT / f"grafana/dashboards/{board}.json").read_text())
        variables = {variable["name"] for variable in content["templating"]["list"]}
        assert content["uid"] == board and set(re.findall(r"[?&]var-(\w+)=", query)) <= variables, rule["alert"]
        of_process = "process_url" in rule["annotations"]
        assert (board == "headway-process" and query == "?var-id={{ $labels.id }}") == of_process, rule["alert"]
        # Where there is no Grafana: nothing beside the page of the process, else a page of the exporter or of Prometheus.
        instead = re.search(r"\{\{-? else \}\}(.*)", url, re.DOTALL)
        assert (instead is None) == of_process and "127.0.0.1" not in url, rule["alert"]
        assert instead is None or re.search(r"/(?:history|alerts|targets)\{\{", instead[1].replace(" ", "")), rule["alert"]


def test_default_files_name_the_default_ports() -> None:
    for file, name in (("targets/local.yml", "exporter"), ("alertmanagers/local.yml", "alertmanager")):
        assert yaml.safe_load((ROOT / "prometheus" / file).read_text()) == [{"targets": [f"127.0.0.1:{DEFAULTS[name]}"]}]
    assert Settings().listen == f"127.0.0.1:{DEFAULTS['exporter']}"


def test_no_key_is_committed() -> None:
    assert (ROOT / "prometheus/keys/fleet.key").read_bytes() == b""


# ── compose.yaml and the image ──────────────────────────────────────────────────────────────────────────────────────


def test_compose_binds_the_same_ports_to_loopback_only() -> None:
    for name, service in COMPOSE["services"].items():
        if name in ("alerting", "demo"):  # they listen nowhere
            assert "ports" not in service
            continue
        inside = DEFAULTS.get(name, 3100)
        assert service["ports"] == [f"127.0.0.1:${{{variable(name)}:-{inside}}}:{inside}"]


def test_images_are_pinned_and_what_is_mounted_exists_and_is_read_only() -> None:
    for name, service in COMPOSE["services"].items():
        assert re.fullmatch(r"[\w/.-]+:v?\d+\.\d+\.\d+|headway:local", service["image"])
        for volume in service["volumes"]:
            source, target, *mode = volume.split(":")
            if not source.startswith("."):
                assert source in COMPOSE["volumes"]
                continue
            if source == "./.headway/compose":  # the key for scripts on the machine, made at the first start
                assert name == "exporter" or mode == ["ro"]
                continue
            assert (ROOT / source).exists() and mode == ["ro"] and target.startswith("/"), f"{name}: {volume}"


def test_containers_have_no_more_rights_than_they_need() -> None:
    for name, service in COMPOSE["services"].items():
        assert (
            service["cap_drop"] == ["ALL"]
            and service["security_opt"] == ["no-new-privileges:true"]
            and service["read_only"] is True
        )
        assert (not service.get("privileged") and not service.get("cap_add")) or name == "alerting"
        assert service["mem_limit"] and service["pids_limit"] and service["logging"]["options"]["max-size"], name
        once = name in ("alerting", "demo")
        assert service["restart"] == ("no" if once else "unless-stopped")
        assert service["healthcheck"] == {"disable": True} if once else service["healthcheck"]["test"][0] == "CMD"
        for needed, how in service.get("depends_on", {}).items():
            assert how["condition"] == ("service_completed_successfully" if needed == "alerting" else "service_healthy")
    assert {name: service["profiles"] for name, service in COMPOSE["services"].items() if "profiles" in service} == {
        "loki": ["loki"],
        "demo": ["demo"],
    }


def test_loki_takes_what_the_exporter_counts_on() -> None:
    config = yaml.safe_load((ROOT / "loki/loki.yml").read_text())
    limits, (schema,) = config["limits_config"], config["schema_config"]["configs"]
    assert limits["allow_structured_metadata"] and (schema["schema"], schema["store"]) == ("v13", "tsdb")
    assert limits["max_line_size"] == f"{Settings().loki_line_bytes // 1024}KB"
    assert config["common"]["path_prefix"] == COMPOSE["services"]["loki"]["volumes"][1].split(":")[1]
    assert config["analytics"]["reporting_enabled"] is False


def test_what_compose_sets_are_settings() -> None:
    known = {setting.variable for setting in SETTINGS.values()}
    assert set(COMPOSE["services"]["exporter"]["environment"]) <= known
    environment = {k: re.sub(r"\$\{\w+:-(\w*)\}", r"\1", v) for k, v in COMPOSE["services"]["exporter"]["environment"].items()}
    settings = load({}, environment).settings
    assert settings.external_url == "http://127.0.0.1:14323" and settings.allowed_hosts == ("exporter",)


def test_the_image_is_built_from_what_is_there() -> None:
    lines = (ROOT / "exporter/Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]]
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert copied == allowed
    bases = {line.split()[1] for line in lines if line.startswith("FROM ")}
    assert len(bases) == 1 and re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", bases.pop()), "pinned, and the same for both stages"
    assert all((ROOT / name).exists() for name in copied)


def test_docker_compose_accepts_the_file() -> None:
    compose = find_compose()
    if compose is None:
        pytest.skip("no docker compose on this machine (HEADWAY_COMPOSE); the tests above look at the file's structure")
    every = ("--profile", "loki", "--profile", "demo")
    done = subprocess.run([*compose, *every, "config", "--quiet"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""


def test_prometheus_reads_an_exporter_that_wants_a_key(tmp_path: Path) -> None:
    """The folder that compose.yaml assembles for Prometheus, on the ports of this machine, with an exporter as strict as there."""
    folder, stack = tmp_path / "prometheus", LiveStack(tmp_path / "state")
    keys = folder / "keys"
    keys.mkdir(parents=True)
    for volume in COMPOSE["services"]["prometheus"]["volumes"]:
        source, target, *_ = volume.split(":")
        if source.startswith("./") and target.startswith("/etc/prometheus/"):
            copy = folder / target.removeprefix("/etc/prometheus/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (ROOT / source).is_dir() else shutil.copy)(ROOT / source, copy)
    target = folder / "fleet/compose.yml"
    assert "exporter:14323" in target.read_text()
    target.write_text(target.read_text().replace("exporter:14323", f"127.0.0.1:{stack.ports['exporter']}"))

    headway = [sys.executable, "-m", "headway"]
    data = f"--data-dir={tmp_path / 'data'}"
    prometheus = shutil.which("prometheus", path=stack.environ["PATH"])
    assert prometheus is not None
    places = (f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'tsdb'}")
    serve = (*headway, "serve", f"--listen=127.0.0.1:{stack.ports['exporter']}", data, "--anonymous=none")
    scrape = (prometheus, *places, f"--web.listen-address=127.0.0.1:{stack.ports['prometheus']}", "--log.level=error")
    children = []
    try:
        children.append(subprocess.Popen(serve, stdout=subprocess.DEVNULL))

        def refused() -> bool:
            try:
                return requests.get(f"{stack.url('exporter')}/metrics", timeout=5).status_code == 401
            except requests.ConnectionError:
                return False

        wait_until(refused, 30, "the exporter answers nobody without a key")
        # Before Prometheus starts, as compose.yaml has it: some versions keep the key that they read first.
        create = [*headway, "key", "create", "--name=prometheus", "--role=viewer", f"--out={keys / 'fleet.key'}", data]
        subprocess.run(create, check=True, capture_output=True)
        children.append(subprocess.Popen(scrape, stdout=subprocess.DEVNULL))

        def up() -> list[tuple[dict[str, str], float]]:
            try:
                return stack.query('up{job="headway"} == 1')
            except OSError:
                return []

        labels, _ = wait_until(up, 40, "Prometheus is let in with the key")[0]
        assert labels == {"__name__": "up", "job": "headway", "instance": f"127.0.0.1:{stack.ports['exporter']}"}
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(30)


# ── the exporter's example configuration, and what is pinned ────────────────────────────────────────────────────────


def test_the_example_configuration_changes_nothing_and_shows_every_default(tmp_path: Path) -> None:
    text = (ROOT / "exporter/headway.yaml").read_text()
    assert load({}, {}, ROOT / "exporter/headway.yaml").settings == load({}, {}).settings
    shown = tmp_path / "headway.yaml"
    shown.write_text(re.sub(r"^#(?! \S)", "", text, flags=re.M))  # prose has one space after its #
    resolved = load({}, {}, shown, uid=0)
    assert {name for name, source in resolved.sources.items() if name in SETTINGS and source == "default"} == set()
    defaults = load({}, {}, uid=0).settings
    assert {name: getattr(resolved.settings, name) for name in SETTINGS} == {name: getattr(defaults, name) for name in SETTINGS}


def test_everything_installed_is_pinned_by_version_alone() -> None:
    rows = (ROOT / "constraints.txt").read_text().splitlines()
    pins = {}
    for row in rows:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.+!]+)", row)
        assert match, f"not a name and a version: {row}"
        pins[canonicalize_name(match[1])] = match[2]
    needed, asked = set(), [("headway", {"exporter", "dev"})]
    while asked:
        name, extras = asked.pop()
        for requirement in map(Requirement, metadata.requires(name) or ()):
            marker, other = requirement.marker, canonicalize_name(requirement.name)
            if (marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""})) and other not in needed:
                needed.add(other)
                asked.append((other, requirement.extras))
    assert needed <= set(pins) and len(needed) > 40


def test_what_make_up_installs_has_what_the_examples_of_readme_import() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installed = {Requirement(text).name for extra in EXTRAS.split(",") for text in extras[extra]}
    drop_ins = {path.stem for path in (ROOT / "exporter/headway/integrations").glob("*.py")} & {"tqdm", "rich"}
    readme = (ROOT / "README.md").read_text()
    assert drop_ins == {"tqdm", "rich"} and "headway.integrations.tqdm" in readme
    assert drop_ins <= installed
