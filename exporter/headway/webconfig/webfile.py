"""The web configuration file of a running exporter: read again when it changes, as its certificates are."""

from __future__ import annotations

import logging
import os
import ssl
from dataclasses import replace
from pathlib import Path

from headway.errors import ConfigError
from headway.webconfig.certificates import Context, Renewed, context_of
from headway.webconfig.definition import TLSServer, WebConfig
from headway.webconfig.reading import read

log = logging.getLogger(__name__)
Signature = tuple[tuple[int, ...] | None, ...]


class WebFile:
    """Belongs to the event loop. What cannot be read leaves TLS as it was, so that nobody is locked out of the repair, and lets
    nobody in by password: it may be that one was to be taken away. `problem` says what is wrong, for readiness."""

    def __init__(self, path: Path) -> None:
        """Raises ConfigError."""
        self.path = path
        self._config = read(path)
        self._file_seen = _signatures(path)
        self._tls = self._wanted = self._config.tls
        self._context: Context | None = context_of(self._tls) if self._tls is not None else None
        self._certificates_seen = self._look()
        self._file_problem: str | None = None
        self._certificate_problem: str | None = None

    @property
    def tls(self) -> TLSServer | None:
        return self._tls

    @property
    def problem(self) -> str | None:
        return self._file_problem or self._certificate_problem

    def current(self) -> WebConfig:
        """What the file says now."""
        seen = _signatures(self.path)
        if seen != self._file_seen:
            self._file_seen = seen
            self._read()
        return self._config

    def server_context(self) -> ssl.SSLContext:
        """For uvicorn: a context that looks at the files for each connection."""
        found = Renewed(ssl.PROTOCOL_TLS_SERVER)
        found.current = self._renewed
        return found

    def _renewed(self) -> ssl.SSLContext:
        self.current()
        assert self._wanted is not None and self._context is not None
        if self._look() != self._certificates_seen:
            self._load(self._wanted)
        return self._context

    def _read(self) -> None:
        try:
            found = read(self.path)
            if (found.tls is None) != (self._tls is None):
                raise ConfigError(f"{self.path}: TLS cannot be switched on or off while the exporter runs: restart it")
        except ConfigError as error:
            self._file_problem = "; ".join(one.detail for one in error.each)
            self._config = replace(self._config, users=dict.fromkeys(self._config.users, "!"))
            log.error("the web configuration is not used, and no password is right until it is repaired: %s", self._file_problem)
            return
        if self._file_problem is not None:
            log.info("the web configuration %s can be used again", self.path)
        self._config, self._file_problem = found, None
        if found.tls is not None and found.tls != self._wanted:
            self._wanted = found.tls
            self._load(found.tls)

    def _load(self, tls: TLSServer) -> None:
        """The new certificates, if they can be used; else the old ones stay until the files change again."""
        self._certificates_seen = self._look()
        try:
            self._context = context_of(tls)
        except ConfigError as error:
            self._certificate_problem = error.detail
            log.error("the certificates stay as they were: %s", error.detail)
            return
        self._tls, self._certificate_problem = tls, None
        log.info("uses the certificate %s as it is now", tls.cert_file)

    def _look(self) -> Signature:
        wanted = self._wanted
        return () if wanted is None else _signatures(wanted.cert_file, wanted.key_file, wanted.client_ca_file)


def _signatures(*paths: Path | None) -> Signature:
    found: list[tuple[int, ...] | None] = []
    for path in paths:
        try:
            status = os.stat(path) if path is not None else None  # noqa: PTH116  faster than Path.stat, once for each request
        except OSError:
            status = None
        found.append(None if status is None else (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return tuple(found)
