"""TLS of the client side: by what the exporter's certificate is verified, and with which one we come ourselves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headway.reporter.pools import keep_apart

if TYPE_CHECKING:
    import requests


@dataclass(frozen=True, slots=True)
class Trust:
    """`ca_file`: certificates (PEM) of which one must have signed the exporter's, or be it; None: the authorities that everybody
    trusts. `server_name`: the name in the exporter's certificate, where it is not that of the address. `client_cert`, `client_key`:
    what we show when we are asked; the key may stand in the file of the certificate."""

    ca_file: str | None = None
    server_name: str | None = None
    client_cert: str | None = None
    client_key: str | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ) -> Trust:
        """HEADWAY_CA_FILE, HEADWAY_SERVER_NAME, HEADWAY_CLIENT_CERT and HEADWAY_CLIENT_KEY."""
        names = ("HEADWAY_CA_FILE", "HEADWAY_SERVER_NAME", "HEADWAY_CLIENT_CERT", "HEADWAY_CLIENT_KEY")
        return cls(*(environ.get(name, "").strip() or None for name in names))

    def mount(self, session: requests.Session, **options: Any) -> None:
        """Lets all https connections of the session be made so; `options` are for the pools of all its connections. Raises OSError:
        a file cannot be read, or is no certificate."""
        from requests.adapters import HTTPAdapter

        class Plain(HTTPAdapter):
            def init_poolmanager(self, *args: Any, **more: Any) -> None:
                super().init_poolmanager(*args, **{**more, **options})

        session.mount("http://", Plain())
        session.mount("https://", self._adapter(options) if self != Trust() else Plain())
        keep_apart(session)

    def _adapter(self, options: Mapping[str, Any]) -> requests.adapters.HTTPAdapter:
        import ssl

        from requests.adapters import HTTPAdapter

        context = ssl.create_default_context(cafile=self.ca_file)
        # The certificate of the exporter itself may be all that is known of it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        named = {"server_hostname": self.server_name} if self.server_name else {}
        verify = self.ca_file
        cert = (self.client_cert, self.client_key) if self.client_cert and self.client_key else self.client_cert

        class Verified(HTTPAdapter):
            def init_poolmanager(self, *args: Any, **more: Any) -> None:
                super().init_poolmanager(*args, **{**more, **options, **named, "ssl_context": context})

            def send(self, *args: Any, **more: Any) -> requests.Response:
                # Ours before REQUESTS_CA_BUNDLE and what else the environment says of other servers.
                return super().send(
                    *args, **{**more, "verify": verify or more.get("verify", True), "cert": cert or more.get("cert")}
                )

        return Verified()
