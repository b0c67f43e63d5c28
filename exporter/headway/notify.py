"""What a service manager is told (sd_notify(3)): that the exporter is ready, that it stops, and that it still works."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

# Variables that are meant for this process and none that it starts (systemd.exec(5)).
OURS: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_EXEC_PID")


def notify(words: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Sends words such as READY=1; False where nobody wants to know, or cannot be told."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.connect("\0" + address[1:] if address.startswith("@") else address)
            manager.sendall(words.encode())
        return True
    except OSError:
        return False


def watchdog_interval(environ: Mapping[str, str] = os.environ, pid: int | None = None) -> float | None:
    """Seconds between two signs of life: half of what the manager waits for. None when it waits for none from us."""
    wanted = environ.get("WATCHDOG_PID", "")
    if wanted and wanted != str(os.getpid() if pid is None else pid):
        return None
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 2_000_000 if text.isdecimal() and int(text) > 0 else None
