"""Sends Alertmanager's messages on to services that it does not know. Blocking. Nothing is kept here: Alertmanager tries again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from headway.alerting.card import card
from headway.alerting.message import MessageIn
from headway.alerting.secrets import Secret, read_secrets
from headway.errors import ConfigError, HeadwayError, NotFound

TIMEOUT: Final = 10.0
SPOKEN: Final[Mapping[str, Callable[[MessageIn], dict[str, Any]]]] = {"teams": card}


class NotTaken(HeadwayError):
    """The service did not take it now, and may later: Alertmanager tries again."""

    status = 503
    title = "The receiver did not take it"


class Misfit(HeadwayError):
    """The service will never take this: trying again is no use."""

    status = 422
    title = "The receiver refuses it"


def find(folder: Path, name: str) -> Secret:
    """The receiver of this name. Raises NotFound, or NotTaken when the secrets cannot be read."""
    try:
        known = {secret.name: secret for secret in read_secrets(folder, {}) if secret.kind in SPOKEN}
    except ConfigError as error:
        raise NotTaken(error.detail) from None
    if name not in known:
        raise NotFound(f"no receiver {name[:40]!r} goes through the exporter; put its secret into {folder / 'teams.url'}")
    return known[name]


def send(secret: Secret, message: MessageIn) -> None:
    """Raises NotTaken or Misfit. Neither says the address: it is a secret."""
    import requests

    try:
        answer = requests.post(secret.values["url"], json=SPOKEN[secret.kind](message), timeout=TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        raise NotTaken(f"{secret.name} cannot be reached ({type(error).__name__})") from None
    if answer.status_code in (408, 425, 429) or answer.status_code >= 500:
        raise NotTaken(f"{secret.name} answered {answer.status_code}")
    if not 200 <= answer.status_code < 300:
        raise Misfit(f"{secret.name} answered {answer.status_code}: {answer.text.strip()[:200]}")
