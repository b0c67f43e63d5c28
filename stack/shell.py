"""What a shell has to know to work with this stack and no other: `. .headway/env`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from stack.layout import Layout

# Names the file in a shell that has read it.
MARK: Final = "HEADWAY_SHELL"


def write(layout: Layout, urls: Mapping[str, str], secrets: Path) -> None:
    """Writes the file; `urls`: where each service answers, by name; `secrets` is the folder with the secret files of receivers."""
    exporter = layout.state / "exporter"
    values: dict[str, str | Path] = {
        MARK: layout.shell,
        "HEADWAY_URL": urls["exporter"],
        "HEADWAY_ALERTMANAGER_URL": urls["alertmanager"],
        "HEADWAY_PROMETHEUS_URL": urls["prometheus"],
        "HEADWAY_ALERTING_SECRETS": secrets,
        # What `headway alerting` adds the receivers to.
        "HEADWAY_ALERTING_BASE": layout.root / "alerting/alertmanager.yml",
        "HEADWAY_KEY_FILE": exporter / "admin.key",
        # Commands on the files themselves: key, config, backup, restore.
        "HEADWAY_DATA_DIR": exporter,
        "HEADWAY_SPOOL": exporter / "spool",
        "HEADWAY_LOG_DIR": exporter / "logs",
    }
    lines = [f"export {name}={shlex.quote(str(value))}" for name, value in values.items()]
    path = shlex.quote(str(layout.venv / "bin"))
    text = f"""# Read by a shell: the command headway, with the addresses, key and data of this clone. Written by make up.
case ":$PATH:" in *:{path}:*) ;; *) export PATH={path}:"$PATH" ;; esac
unset HEADWAY_KEY
"""
    layout.shell.write_text(text + "\n".join(lines) + "\n")


def taken(environ: Mapping[str, str]) -> list[str]:
    """The variables of `environ` that are as such a file set them: nobody gave them for what is to be started."""
    path = environ.get(MARK)
    if not path:
        return []
    try:
        words = shlex.split(Path(path).read_text(), comments=True)
    except (OSError, ValueError):
        return [MARK]
    said = dict(word.split("=", 1) for word in words if word.startswith("HEADWAY_") and "=" in word)
    return [name for name, value in environ.items() if name == MARK or (name in said and said[name] == value)]
