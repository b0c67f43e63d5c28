"""How Grafana is set up: its data sources, its folder, and that it is silent and read only."""

from __future__ import annotations

import configparser
from typing import Any

import yaml

from dashboards import BOARDS, FOLDER, ROOT


def provisioned(kind: str) -> dict[str, Any]:
    loaded = yaml.safe_load((ROOT / "grafana" / "provisioning" / kind / "headway.yml").read_text(encoding="utf-8"))
    assert loaded["apiVersion"] == 1
    return dict(loaded)


def test_data_sources_have_fixed_uids_and_addresses_from_the_environment() -> None:
    sources = {s["uid"]: s for s in provisioned("datasources")["datasources"]}
    assert {uid: (s["type"], s["url"]) for uid, s in sources.items()} == {
        "prometheus": ("prometheus", "$PROMETHEUS_URL"),
        "alertmanager": ("alertmanager", "$ALERTMANAGER_URL"),
        "loki": ("loki", "$LOKI_URL"),
    }
    assert sources["prometheus"]["jsonData"]["alertmanagerUid"] == "alertmanager"
    for board in BOARDS.values():
        chosen = next(v for v in board["templating"]["list"] if v["name"] == "datasource")["current"]
        assert (chosen["value"], chosen["text"]) == ("prometheus", sources["prometheus"]["name"])


def test_the_folder_is_fixed_and_read_only() -> None:
    (provider,) = provisioned("dashboards")["providers"]
    assert provider["folderUid"] == "headway" and provider["options"]["path"] == "$DASHBOARDS_DIR"
    assert provider["disableDeletion"] and not provider["allowUiUpdates"]


def test_grafana_is_on_loopback_read_only_and_silent() -> None:
    ini = configparser.ConfigParser(interpolation=None)
    ini.read(ROOT / "grafana" / "grafana.ini")
    assert ini["server"]["http_addr"] == "127.0.0.1"
    assert ini["auth.anonymous"]["enabled"] == "true" and ini["auth.anonymous"]["org_role"] == "Viewer"
    assert ini["dashboards"]["min_refresh_interval"] == "2s"
    home = ini["dashboards"]["default_home_dashboard_path"].removeprefix("$__env{DASHBOARDS_DIR}/")
    assert (FOLDER / home).is_file()
    assert set(ini["analytics"].values()) == {"false"}
