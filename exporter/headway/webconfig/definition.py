"""What a web configuration file says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from ssl import TLSVersion, VerifyMode


@dataclass(frozen=True, slots=True, kw_only=True)
class TLSServer:
    """`tls_server_config`. Paths are absolute or relative to the working directory; `cipher_suites` in the names of OpenSSL."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    client_auth: VerifyMode = VerifyMode.CERT_NONE
    client_allowed_sans: tuple[str, ...] = ()
    min_version: TLSVersion = TLSVersion.TLSv1_2
    max_version: TLSVersion = TLSVersion.TLSv1_3
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True
    curve: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebConfig:
    """`users`: bcrypt hashes by name. `headers`: added to every answer that does not set them itself."""

    tls: TLSServer | None = None
    users: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
