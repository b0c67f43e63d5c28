"""Docker Compose, where there is one."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess


def find_compose() -> list[str] | None:
    """The command: HEADWAY_COMPOSE, the plugin of docker, or docker-compose; None without one of version 2 or newer."""
    candidates = [shlex.split(os.environ.get("HEADWAY_COMPOSE", "")), ["docker", "compose"], ["docker-compose"]]
    for command in candidates:
        if not command or shutil.which(command[0]) is None:
            continue
        done = subprocess.run([*command, "version", "--short"], capture_output=True, text=True)
        if done.returncode == 0 and not done.stdout.lstrip("v").startswith("1."):
            return command
    return None
