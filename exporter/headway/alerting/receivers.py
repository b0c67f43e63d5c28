"""What Alertmanager is told of each receiver, by its version: an integration of its own, or a webhook of the exporter's.

From which version on it can do what (its CHANGELOG): Discord 0.25, cards for the workflows of Teams 0.28. An address is read from a
file for Slack in all of them; for webhooks since 0.26 and for Discord since 0.27, but without crash or error only since 0.28.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from headway.alerting.secrets import Secret
from headway.alerting.version import Version

FILES_WORK: Final = Version(0, 28)
TEAMS_WORKFLOWS: Final = Version(0, 28)
RELAY_PATH: Final = "/api/alerting/relay/"


@dataclass(frozen=True, slots=True)
class Target:
    """Who is told. `inline`: it cannot read the secret files, so everything stands in its configuration. `exporter`: where it
    reaches the exporter, with the key in `key_file` if that wants one."""

    version: Version
    exporter: str
    inline: bool = False
    key_file: str | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """One integration: `section` of a receiver (slack_configs) with its `options`; `way` says in words how a message gets there."""

    section: str
    options: Mapping[str, Any]
    way: str
    relayed: bool = False


def block(secret: Secret, target: Target) -> Block:
    return _BLOCKS[secret.kind](secret, target)


def _template(name: str) -> str:
    return f'{{{{ template "headway.{name}" . }}}}'


def _address(secret: Secret, target: Target, option: str, since: Version) -> tuple[dict[str, str], str]:
    """The address itself, or the file that it stands in."""
    if secret.path is None or target.inline or target.version < since:
        return {option: secret.values["url"]}, "address in the configuration"
    return {f"{option}_file": str(secret.path.resolve())}, "address read from its file"


def _slack(secret: Secret, target: Target) -> Block:
    address, words = _address(secret, target, "api_url", Version(0, 25))
    options = {
        **address,
        "send_resolved": True,
        "username": "Headway",
        "color": _template("slack.color"),
        "title": _template("slack.title"),
        "title_link": _template("link"),
        "text": _template("slack.text"),
        "fallback": _template("slack.title"),
        "mrkdwn_in": ["text"],
    }
    return Block("slack_configs", options, f"by Alertmanager's own integration, {words}")


def _discord(secret: Secret, target: Target) -> Block:
    address, words = _address(secret, target, "webhook_url", FILES_WORK)
    options = {**address, "send_resolved": True, "title": _template("discord.title"), "message": _template("discord.text")}
    return Block("discord_configs", options, f"by Alertmanager's own integration, {words}")


def _teams(secret: Secret, target: Target) -> Block:
    if target.version < TEAMS_WORKFLOWS:
        options: dict[str, Any] = {"url": f"{target.exporter}{RELAY_PATH}{secret.name}", "send_resolved": True}
        if target.key_file is not None:
            options["http_config"] = {"authorization": {"credentials_file": target.key_file}}
        words = f"through the exporter, for Alertmanager {target.version} does not know the cards of Teams' workflows"
        return Block("webhook_configs", options, words, relayed=True)
    address, words = _address(secret, target, "webhook_url", FILES_WORK)
    options = {**address, "send_resolved": True, "title": _template("teams.title"), "text": _template("teams.text")}
    return Block("msteamsv2_configs", options, f"by Alertmanager's own integration, {words}")


def _telegram(secret: Secret, target: Target) -> Block:
    options = {
        "bot_token": secret.values["token"],
        "chat_id": secret.values["chat_id"],
        **({"api_url": secret.values["api_url"]} if "api_url" in secret.values else {}),
        "send_resolved": True,
        "parse_mode": "HTML",
        "message": _template("telegram.text"),
    }
    return Block("telegram_configs", options, "by Alertmanager's own integration, token in the configuration")


def _email(secret: Secret, target: Target) -> Block:
    values = secret.values
    options = {
        "to": values["to"],
        "from": values["from"],
        "smarthost": values["smarthost"],
        "require_tls": values.get("require_tls", True),
        **({"auth_username": values["username"]} if "username" in values else {}),
        **({"auth_password": values["password"]} if "password" in values else {}),
        "send_resolved": True,
        "headers": {"Subject": _template("email.subject")},
        "text": _template("email.text"),
        "html": _template("email.html"),
    }
    words = "password in the configuration" if "password" in values else "without a password"
    return Block("email_configs", options, f"by Alertmanager's own integration, {words}")


def _webhook(secret: Secret, target: Target) -> Block:
    address, words = _address(secret, target, "url", FILES_WORK)
    return Block("webhook_configs", {**address, "send_resolved": True}, f"as Alertmanager's JSON, {words}")


_BLOCKS: Final[Mapping[str, Callable[[Secret, Target], Block]]] = {
    "slack": _slack,
    "discord": _discord,
    "teams": _teams,
    "telegram": _telegram,
    "email": _email,
    "webhook": _webhook,
}
