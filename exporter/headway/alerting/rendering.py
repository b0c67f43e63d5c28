"""The configuration that Alertmanager reads: alerting/alertmanager.yml with the receivers that are switched on."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

from headway.alerting.receivers import Target, block
from headway.alerting.secrets import CRITICAL, Secret
from headway.errors import ConfigError
from headway.yamlfile import compose

EVERYTHING: Final = "everything"
# Who is told of ends of processes: everybody who wants everything, and never that they are over: they have happened.
ENDED: Final = "ended"
HEAD: Final = """\
# Made by `headway alerting render` from {base} and the secrets in {secrets}. Changes belong there.
# There are secrets in it: mode 0600.
"""


def render(base: Path, templates: Path, secrets: Path, found: Sequence[Secret], target: Target) -> str:
    """The text of the file. `templates` is the folder as Alertmanager reaches it. Raises ConfigError when `base` does not fit."""
    import yaml

    compose(base)  # says what is wrong with the file
    content: Any = yaml.safe_load(base.read_text(encoding="utf-8"))
    receivers = _receivers(content, base)
    for secret in found:
        made = block(secret, target)
        # A message has all severities of an alert: so each place is told by one receiver alone.
        receivers[CRITICAL if secret.critical_only else EVERYTHING].setdefault(made.section, []).append(deepcopy(made.options))
        if ENDED in receivers and not secret.critical_only:
            receivers[ENDED].setdefault(made.section, []).append({**deepcopy(made.options), "send_resolved": False})
    content["templates"] = [*content.get("templates", ()), str(templates / "*.tmpl")]
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)
    return HEAD.format(base=base, secrets=secrets) + text


def _receivers(content: Any, base: Path) -> dict[str, dict[str, Any]]:
    listed = content.get("receivers") if isinstance(content, dict) else None
    found = {one["name"]: one for one in listed or () if isinstance(one, dict) and "name" in one}
    missing = [name for name in (EVERYTHING, CRITICAL) if name not in found]
    if missing:
        raise ConfigError(f"{base} has no receiver {' and none '.join(missing)}, which what is switched on is added to")
    return found
