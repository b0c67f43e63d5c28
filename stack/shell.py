"""What a shell has to know to work with this stack and no other: `. .headway/env`."""

from __future__ import annotations

import shlex
from pathlib import Path

from stack.layout import Layout


def write(layout: Layout, url: str, alertmanager: str) -> None:
    """Writes the file; `url` is where the exporter answers, `alertmanager` where Alertmanager does."""
    exporter = layout.state / "exporter"
    values: dict[str, str | Path] = {
        "HEADWAY_URL": url,
        "HEADWAY_ALERTMANAGER_URL": alertmanager,
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
