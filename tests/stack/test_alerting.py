"""The configuration of Alertmanager: who is told of which alert, and what is rendered for which secrets and versions."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli import headway
from headway.alerting.receivers import Target, block
from headway.alerting.routes import Taken, routes_taken
from headway.alerting.secrets import FILES, KINDS, read_secrets
from headway.alerting.version import Version, parse_version
from headway.announcing.rule import FAILURES
from headway.announcing.words import ALERT as ENDED
from headway.errors import ConfigError
from headway.model import Status
from live_stack import ROOT
from standins import CHAT, TOKEN

BASE = ROOT / "alerting/alertmanager.yml"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
VERSIONS = ("0.25", "0.26", "0.27", "0.28", "0.31")
TEXTS = {
    "slack.url": "https://hooks.slack.example/services/T0/B0/s3cret\n",
    "discord.url": "https://discord.example/api/webhooks/1/s3cret",
    "teams.url": "https://prod.workflows.example/s3cret?sig=a%2Fb&x=1",
    "webhook.url": "http://127.0.0.1:1/s3cret",
    "telegram.yml": f'token: "{TOKEN}"\nchat_id: {CHAT}\n',
    "email.yml": "to: a@example.org, b@example.org\nfrom: Headway <h@example.org>\nsmarthost: mail:587\n"
    "username: u\npassword: 's3cret: 1'\n",
}


def amtool(*words: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("amtool", path=f"{os.environ['PATH']}:{ROOT / '.headway/bin'}")
    assert found is not None
    return subprocess.run((found, *words), capture_output=True, text=True)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name, text in TEXTS.items():
        put(folder / name, text)
    return folder


def put(path: Path, text: str, mode: int = 0o600) -> None:
    path.write_text(text)
    path.chmod(mode)


def rendered(secrets: Path, version: str, *flags: str, **environ: str) -> dict[str, Any]:
    done = headway("alerting", "render", "--for", version, "--base", str(BASE), "--secrets", str(secrets), *flags, environ=environ)
    assert done.returncode == 0, done.stderr
    content = yaml.safe_load(done.stdout)
    assert isinstance(content, dict)
    return content


def receiver(content: dict[str, Any], name: str = "everything") -> dict[str, Any]:
    (found,) = [one for one in content["receivers"] if one["name"] == name]
    assert isinstance(found, dict)
    return found


# ── routes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def alerts() -> list[tuple[str, str, str]]:
    """Names with severity and gate."""
    found = set()
    for path in (ROOT / "prometheus/rules").glob("*.yml"):
        for group in yaml.safe_load(path.read_text())["groups"]:
            found |= {
                (rule["alert"], rule["labels"]["severity"], rule["labels"]["gate"]) for rule in group["rules"] if "alert" in rule
            }
    return sorted(found)


@pytest.mark.parametrize(("alert", "severity", "gate"), alerts())
def test_every_alert_has_its_route(alert: str, severity: str, gate: str, tools: None) -> None:
    expected = "nobody" if severity == "none" else "critical,everything" if severity == "critical" else "everything"
    if gate in ("failed", "orphaned", "timed_out"):
        expected = "ended"  # it has happened, and is never over
    for kind in ("cron", "task", "subagent"):
        labels = (f"alertname={alert}", f"severity={severity}", f"gate={gate}", "instance=a:1", f"kind={kind}", "name=x", "id=y")
        done = amtool("config", "routes", "test", f"--config.file={BASE}", *labels)
        assert (done.returncode, done.stdout.strip()) == (0, expected), done.stderr


def test_the_end_of_a_process_has_its_route(tools: None) -> None:
    labels = (f"alertname={ENDED}", "severity=info", "instance=a:1", "kind=task", "name=x", "id=y", "outcome=failed")
    done = amtool("config", "routes", "test", f"--config.file={BASE}", *labels)
    assert (done.returncode, done.stdout.strip()) == (0, "ended"), done.stderr


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"alertname": "HeadwayTest", "severity": "warning"}, [("everything", 3, 30)]),
        ({"alertname": "HeadwayTest", "severity": "critical"}, [("critical", 3, 30), ("everything", 3, 30)]),
        ({"alertname": "HeadwayProcessFailed", "gate": "failed", "kind": "subagent"}, [("ended", 3, 300)]),
        ({"alertname": "HeadwayProcessEnded"}, [("ended", 3, 600)]),
        ({"alertname": "HeadwayProcessStuck", "severity": "info", "kind": "task"}, [("everything", 20, 300)]),
        ({"alertname": "HeadwayWaitingForPerson", "gate": "waiting", "kind": "subagent"}, [("everything", 3, 30)]),
        ({"alertname": "Watchdog"}, [("nobody", 3, 30)]),
        ({"alertname": "ExporterAway", "severity": "none"}, [("nobody", 3, 30)]),
    ],
)
def test_when_a_message_goes_is_found_out(labels: dict[str, str], expected: list[tuple[str, float, float]], tools: None) -> None:
    found = routes_taken(yaml.safe_load(BASE.read_text())["route"], labels)
    assert [(one.receiver, one.wait, one.interval) for one in found] == expected
    done = amtool("config", "routes", "test", f"--config.file={BASE}", *(f"{name}={value}" for name, value in labels.items()))
    assert done.stdout.strip() == ",".join(one.receiver for one in found), "as Alertmanager has it"


def test_matchers_of_every_form() -> None:
    def takes(**route: Any) -> bool:
        labels = {"severity": "critical", "name": 'a "b"'}
        return routes_taken({"receiver": "a", "routes": [{"receiver": "b", **route}]}, labels)[0].receiver == "b"

    assert takes(matchers=['severity="critical"', "name!=x", 'kind=""', "gate!~.+"]) and takes(matchers=['name="a \\"b\\""'])
    assert takes(match={"severity": "critical"}) and takes(match_re={"severity": "crit.*"}) and takes()
    assert (
        not takes(matchers=["severity=~crit"])
        and not takes(matchers=['severity!="critical"'])
        and not takes(match={"kind": "task"})
    )


def test_when_a_group_is_looked_at() -> None:
    route = Taken("everything", 3.0, 30.0)
    assert [route.looked_at_after(seconds) for seconds in (0, 3, 23, 33, 40)] == [3, 33, 33, 63, 63]


def test_what_inhibits_is_an_alert_that_exists() -> None:
    known = {"alertname": {ENDED} | {alert for alert, _, _ in alerts()}, "gate": {gate for _, _, gate in alerts()}}
    known["outcome"] = {*FAILURES, Status.KILLED}
    content = yaml.safe_load(BASE.read_text())
    for rule in content["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            label, _, value = re.fullmatch(r'(\w+) (=|=~|!=|!~) "(.+)"', matcher).groups()  # type: ignore[union-attr]
            if label in known:
                assert any(re.fullmatch(value, one) for one in known[label]), matcher
            assert label in ("alertname", "severity", "gate", "outcome"), "nothing is matched against names of processes"


# ── what is rendered ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("version", VERSIONS)
def test_every_receiver_by_version(secrets: Path, version: str) -> None:
    content = rendered(secrets, version)
    assert receiver(content, "nobody") == {"name": "nobody"}
    assert receiver(content, "critical") == {"name": "critical"}, "whoever is told everything is told what is critical"
    found = receiver(content)
    ended = [one for section, many in receiver(content, "ended").items() if section != "name" for one in many]
    assert len(ended) == len(TEXTS) and all(one["send_resolved"] is False for one in ended)
    new = parse_version(version) >= (0, 28)
    assert set(found) - {"name"} == {
        *("slack_configs", "discord_configs", "telegram_configs", "email_configs", "webhook_configs"),
        *(["msteamsv2_configs"] if new else []),
    }
    (slack,) = found["slack_configs"]
    assert slack["api_url_file"] == str(secrets / "slack.url") and "api_url" not in slack
    (discord,) = found["discord_configs"]
    assert discord.get("webhook_url_file") == (str(secrets / "discord.url") if new else None)
    assert discord.get("webhook_url") == (None if new else TEXTS["discord.url"])
    *relay, webhook = found["webhook_configs"]
    assert webhook.get("url_file") == (str(secrets / "webhook.url") if new else None)
    assert [one["url"] for one in relay] == ([] if new else ["http://127.0.0.1:14323/api/alerting/relay/teams"])
    (telegram,) = found["telegram_configs"]
    assert (telegram["bot_token"], telegram["chat_id"], telegram["parse_mode"]) == (TOKEN, CHAT, "HTML")
    (email,) = found["email_configs"]
    assert (email["to"], email["auth_username"], email["auth_password"]) == ("a@example.org, b@example.org", "u", "s3cret: 1")
    assert email["require_tls"] is True
    sent = [one for section, many in found.items() if section.endswith("_configs") for one in many]
    assert all(one["send_resolved"] is True for one in sent)
    assert content["templates"] == [str(ROOT / "alerting/templates/*.tmpl")]


def test_the_templates_that_are_called_exist(secrets: Path) -> None:
    text = "".join(path.read_text() for path in (ROOT / "alerting/templates").glob("*.tmpl"))
    defined = set(re.findall(r'\{\{-? ?define "([^"]+)"', text))
    for version in VERSIONS:
        called = set(re.findall(r'template \\?"(headway[^"\\]+)', str(rendered(secrets, version))))
        assert called and called <= defined
    assert set(re.findall(r'template "([^"]+)"', text)) <= defined
    assert set(re.findall(r"\b(humanizeDuration|since|date|tz|trimSpace|toJson)\b (?=\.|\$|\")", text)) == set(), "not in 0.25"


@pytest.mark.parametrize("name", [None, *TEXTS, "slack.critical.url"])
def test_what_is_rendered_is_valid_for_the_alertmanager_that_is_installed(tmp_path: Path, tools: None, name: str | None) -> None:
    folder, out = tmp_path / "secrets", tmp_path / "alertmanager.yml"
    folder.mkdir()
    if name is not None:
        put(folder / name, TEXTS[name.replace(".critical", "")])
    done = headway("alerting", "render", "--base", str(BASE), "--secrets", str(folder), "--for", "0.25", "--out", str(out))
    assert done.returncode == 0 and done.stdout == ""
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    checked = amtool("check-config", str(out))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    content = yaml.safe_load(out.read_text())
    sections = [section for one in ("everything", "critical") for section in receiver(content, one) if section != "name"]
    assert len(sections) == (name is not None)
    assert len(receiver(content, "critical")) - 1 == (name == "slack.critical.url")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_linter_finds_nothing_but_what_is_meant(secrets: Path, tmp_path: Path, version: str) -> None:
    out = tmp_path / "alertmanager.yml"
    for name in ("slack", "email"):
        form = next(one for one in TEXTS if one.startswith(name))
        put(secrets / form.replace(".", ".critical."), TEXTS[form])
    flags = ("--base", str(BASE), "--secrets", str(secrets), "--for", version, "--out", str(out))
    assert headway("alerting", "render", *flags).returncode == 0
    command = (
        sys.executable,
        "-c",
        "import amlint.cli; amlint.cli.main()",
        "check",
        "--format",
        "json",
        "--rules",
        str(ROOT / "prometheus/rules/*.yml"),
        out,
    )
    done = subprocess.run(command, capture_output=True, text=True)
    # Secret files of several values are not read by Alertmanager; what is rendered of them is for its owner alone (mode 0600).
    known = re.compile(r"plaintext-secret receivers.*\.(telegram_configs\[\d\]\.bot_token|email_configs\[\d\]\.auth_password)")
    found = {f"{one['code']} {one['where']}" for one in json.loads(done.stdout)}
    assert {one for one in found if not known.fullmatch(one)} == {
        "empty-receiver receivers[nobody]",
        "global-resolve-timeout-missing global",  # whoever sends to it says until when an alert holds
        "route-unknown-alertname route.routes[2]",  # HeadwayProcessEnded comes from the exporter
        "inhibit-unknown-alertname inhibit_rules[4]",  # the same
    }, done.stderr


def test_inline_names_no_file(secrets: Path) -> None:
    found = receiver(rendered(secrets, "0.28", "--inline"))
    assert "_file" not in str(found)
    assert found["slack_configs"][0]["api_url"] == TEXTS["slack.url"].strip()
    assert found["msteamsv2_configs"][0]["webhook_url"] == TEXTS["teams.url"]


def test_the_webhook_of_the_environment_is_one_more(secrets: Path) -> None:
    found = receiver(rendered(secrets, "0.28", HEADWAY_WEBHOOK_URL="http://127.0.0.1:2/x"))["webhook_configs"]
    assert {one.get("url") for one in found} == {None, "http://127.0.0.1:2/x"} and len(found) == 2


def test_a_key_for_an_exporter_that_wants_one(secrets: Path) -> None:
    found = receiver(rendered(secrets, "0.25", "--exporter", "http://exporter:14323", "--exporter-key-file", "/keys/relay.key"))
    relay = found["webhook_configs"][0]
    assert relay["url"] == "http://exporter:14323/api/alerting/relay/teams"
    assert relay["http_config"] == {"authorization": {"credentials_file": "/keys/relay.key"}}


def test_every_kind_has_a_block_and_its_representation_no_secret(secrets: Path) -> None:
    found = read_secrets(secrets, {})
    assert [secret.kind for secret in found] == list(KINDS)
    for secret in found:
        assert block(secret, Target(Version(0, 25), "http://e")).way
        assert "s3cret" not in repr(secret) and TOKEN not in repr(secret)
    assert set(FILES) == set(TEXTS)


# ── what cannot be used ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("slak.url", "https://a/b", "did you mean slack.url?"),
        ("slack.urgent.url", "https://a/b", "did you mean slack.url?"),
        ("pager.key", "x", "there are slack.url, discord.url"),
        ("slack.url", "hooks.slack.example/x", "has to begin with http:// or https://"),
        ("slack.url", "", "there is none"),
        ("slack.url", "https://a/b c", "a space, a quote or a backslash"),
        ("telegram.yml", "token: '1:abc'\n", "does not say chat_id"),
        ("telegram.yml", "token: s3cret\nchat_id: 5\n", "telegram.token: cannot be used; accepted: the token of the bot"),
        ("telegram.yml", "tokn: 1:a\nchat_id: 5\n", "did you mean token?"),
        ("telegram.yml", "token: 1:a\nchat_id: me\n", "telegram.chat_id"),
        ("email.yml", "to: nobody\nfrom: a@b\nsmarthost: h:25\n", "email.to"),
        ("email.yml", "to: a@b\nfrom: a@b\nsmarthost: h\n", "host:port of the mail server"),
        ("email.yml", "", "does not say to and from and smarthost"),
    ],
)
def test_a_secret_that_cannot_be_used_says_why(tmp_path: Path, name: str, text: str, said: str) -> None:
    put(tmp_path / name, text)
    with pytest.raises(ConfigError) as caught:
        read_secrets(tmp_path, {})
    assert said in caught.value.detail and name in caught.value.detail
    assert "s3cret" not in caught.value.detail


def test_all_that_cannot_be_used_is_said_at_once(tmp_path: Path) -> None:
    put(tmp_path / "slack.url", "")
    put(tmp_path / "telegram.yml", "token: '1:abc'\n")
    with pytest.raises(ConfigError) as caught:
        read_secrets(tmp_path, {"HEADWAY_WEBHOOK_URL": "nowhere"})
    assert all(name in caught.value.detail for name in ("slack.url", "telegram.yml", "HEADWAY_WEBHOOK_URL"))


def test_a_secret_that_everybody_can_read_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "slack.url", TEXTS["slack.url"], 0o644)
    done = headway("alerting", "render", "--for", "0.25", "--base", str(BASE), "--secrets", str(tmp_path))
    assert done.returncode == 2 and f"(mode 0644): chmod 600 {tmp_path / 'slack.url'}" in done.stderr and done.stdout == ""


def test_what_editors_and_people_leave_there_is_no_secret(tmp_path: Path) -> None:
    for name in (".slack.url.swp", "slack.url~", "README.md"):
        put(tmp_path / name, "x")
    (tmp_path / "old").mkdir()
    assert read_secrets(tmp_path, {}) == () and read_secrets(tmp_path / "none", {}) == ()


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("0.28", Version(0, 28)),
        ("v0.28.1", Version(0, 28)),
        ("alertmanager, version 0.25.0 (branch: debian/sid, revision: 0.25.0-1+b4)\n  go version: go1.19.8", Version(0, 25)),
        ("1.0.0-rc.1", Version(1, 0)),
    ],
)
def test_versions(text: str, version: Version) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(("text", "said"), [("new", "is no version"), ("0.24", "too old"), ("", "is no version")])
def test_what_is_no_version(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_version(text)


def test_a_base_without_the_receivers_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "base.yml", "route: {receiver: a}\nreceivers: [{name: a}]\n")
    done = headway("alerting", "render", "--for", "0.25", "--base", str(tmp_path / "base.yml"), "--secrets", str(tmp_path / "none"))
    assert done.returncode == 2 and "has no receiver everything and none critical" in done.stderr
    done = headway("alerting", "render", "--for", "0.25", "--base", str(tmp_path / "other.yml"))
    assert done.returncode == 2 and "run this in the clone of Headway, or name the file by --base" in done.stderr


def test_no_secret_can_be_committed() -> None:
    done = subprocess.run(("git", "check-ignore", "alerting/secrets/slack.url"), cwd=ROOT, capture_output=True)
    assert done.returncode == 0


def test_compose_renders_for_the_alertmanager_that_it_runs() -> None:
    services = COMPOSE["services"]
    command, image = services["alerting"]["command"][0], services["alertmanager"]["image"]
    version = parse_version(image.rpartition(":")[2])
    assert f"--for {version} --inline" in command
    assert services["alertmanager"]["depends_on"] == {"alerting": {"condition": "service_completed_successfully"}}
    written = re.search(r"--out /config/(\S+)", command)
    assert written is not None and f"--config.file=/etc/headway/config/{written[1]}" in services["alertmanager"]["command"]
    folders = {volume.split(":")[0]: volume.split(":")[1] for volume in services["alertmanager"]["volumes"]}
    assert folders["alerting"] == "/etc/headway/config"
    # The rendered file names the templates beside the base, as they are seen there.
    assert folders["./alerting/templates"] == "/etc/headway/alerting/templates"
    assert "--base /etc/headway/alerting/alertmanager.yml" in command
