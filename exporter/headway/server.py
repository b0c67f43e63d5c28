"""The exporter on its port: uvicorn around the application, until it is told to stop."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import uvicorn

from headway.api.protocol import Protocol
from headway.app import Exporter
from headway.configuration import Resolved
from headway.effective import values
from headway.errors import ConfigError
from headway.notify import notify
from headway.store.lock import DataDirLock, make_data_dir

SHUTDOWN_GRACE = 5
# How long a thread that samples or renders keeps the interpreter while the event loop waits for it (s; Python's own is 5 ms).
SWITCH_INTERVAL = 0.00005
# Longer than any client of ours pauses between two requests (15 s): whoever reuses a connection must find it open.
KEEP_ALIVE = 75


class Server(uvicorn.Server):
    """uvicorn that says when it is ready, and lets live streams go when it is told to stop."""

    def __init__(self, config: uvicorn.Config, exporter: Exporter, ready: Callable[[str], None]) -> None:
        super().__init__(config)
        self.exporter = exporter
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            bound = self.servers[0].sockets[0].getsockname()
            host = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
            url = f"{'https' if self.config.is_ssl else 'http'}://{host}:{bound[1]}"
            self.exporter.listens_at(url)
            self.ready(url)

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        notify("STOPPING=1")
        self.exporter.registry.feed.hub.close()


def serve(resolved: Resolved) -> int:
    """Runs the exporter until SIGTERM or Ctrl-C. Returns the exit code."""
    settings = resolved.settings
    sys.setswitchinterval(SWITCH_INTERVAL)
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    host, port = settings.address
    check_port(host, port)  # before any file is made: a key of an exporter that never ran would be taken for the one to use
    make_data_dir(settings.data_dir)
    with DataDirLock(settings.data_dir):
        exporter = Exporter(
            settings,
            services=resolved.services,
            discovery=resolved.discovery,
            announce=resolved.announce,
            integrations=resolved.integrations,
            expected=resolved.expected,
            effective=values(resolved),
        )
        web = exporter.web
        config = uvicorn.Config(
            exporter.app(),
            ssl_context_factory=(lambda *_: web.server_context()) if web is not None and web.tls is not None else None,
            host=host,
            port=port,
            loop="uvloop",
            http=Protocol,
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=SHUTDOWN_GRACE,
            timeout_keep_alive=KEEP_ALIVE,
        )

        def ready(url: str) -> None:
            print(f"headway is ready at {url}", flush=True)
            notify(f"READY=1\nSTATUS=listens at {url}")

        server = Server(config, exporter, ready)
        server.run()
        return 0 if server.started else 1


def check_port(host: str, port: int) -> None:
    """Raises ConfigError when something listens there already, before anything is opened."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}; choose another address with --listen or "
                "HEADWAY_LISTEN, or end what uses it",
                field="listen",
            ) from None
