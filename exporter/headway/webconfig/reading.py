"""Reads a web configuration file. The format is that of the Prometheus exporter toolkit:
https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md

What Python's TLS cannot do is refused by name rather than left out: a file that asks for it means it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from ssl import TLSVersion, VerifyMode
from typing import TYPE_CHECKING, Any, Final

from headway.errors import ConfigError
from headway.faults import Faults
from headway.forms import boolean
from headway.webconfig.definition import TLSServer, WebConfig
from headway.yamlfile import Field, Reader, compose, fields, items, one, raw_of, suggestion, texts, words

if TYPE_CHECKING:
    import yaml

SECTIONS: Final = ("tls_server_config", "http_server_config", "basic_auth_users")
# crypt(3) of bcrypt: version, cost 4 to 31, 22 characters of salt and 31 of hash.
HASH: Final = re.compile(r"\$2[aby]?\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
CLIENT_AUTH: Final[Mapping[str, VerifyMode]] = {
    "NoClientCert": VerifyMode.CERT_NONE,
    "VerifyClientCertIfGiven": VerifyMode.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": VerifyMode.CERT_REQUIRED,
}
VERSIONS: Final[Mapping[str, TLSVersion]] = {"TLS12": TLSVersion.TLSv1_2, "TLS13": TLSVersion.TLSv1_3}
CURVES: Final[Mapping[str, str]] = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
# Names of RFC 5289 and 7905, as Go has them. Those of TLS 1.3 are always on.
CIPHERS: Final[Mapping[str, str]] = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_AES_128_GCM_SHA256": "",
    "TLS_AES_256_GCM_SHA384": "",
    "TLS_CHACHA20_POLY1305_SHA256": "",
}
# The only ones that the format knows, with the values that it allows (none: any).
HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}


def read(path: Path) -> WebConfig:
    """The file, checked as far as that goes without opening the files it names. Raises ConfigError with field and line."""
    root = compose(path)
    faults, found = Faults(), WebConfig()
    for name, node, place in items(root, "the file", path, faults) if root is not None else ():
        with faults.noted():
            if name == "rate_limit":
                raise ConfigError(f"{place}: rate_limit is not supported here: limit requests in a reverse proxy", field=name)
            if name == "tls_server_config":
                found = replace(found, tls=_tls(node, path))
            elif name == "http_server_config":
                found = replace(found, headers=fields(node, name, path, _HTTP).get("headers", {}))
            elif name == "basic_auth_users":
                found = replace(found, users=_users(node, path))
            else:
                raise ConfigError(f"{place}: unknown section {name}{suggestion(name, SECTIONS)}", field=name)
    faults.end()
    return found


def _tls(node: yaml.Node, path: Path) -> TLSServer | None:
    found = fields(node, "tls_server_config", path, _TLS)
    if not found:
        return None
    place = f"file {path}:{node.start_mark.line + 1}"
    for name in ("cert_file", "key_file"):
        if name not in found:
            raise ConfigError(f"tls_server_config.{name} is missing ({place})", field=f"tls_server_config.{name}")
    if "curve_preferences" in found:
        found["curve"] = found.pop("curve_preferences")
    auth = found.pop("client_auth_type", VerifyMode.CERT_NONE)
    if "client_ca_file" in found and auth is VerifyMode.CERT_NONE:
        raise _needs("client_ca_file", "client_auth_type: RequireAndVerifyClientCert", place)
    if auth is not VerifyMode.CERT_NONE and "client_ca_file" not in found:
        raise _needs("client_auth_type", "client_ca_file, by which certificates are verified", place)
    if "client_allowed_sans" in found and auth is not VerifyMode.CERT_REQUIRED:
        raise _needs("client_allowed_sans", "client_auth_type: RequireAndVerifyClientCert", place)
    result = TLSServer(client_auth=auth, **found)
    if result.max_version < result.min_version:
        raise ConfigError(f"tls_server_config.max_version is below min_version ({place})", field="tls_server_config.max_version")
    return result


def _needs(name: str, other: str, place: str) -> ConfigError:
    return ConfigError(f"tls_server_config.{name} needs {other} ({place})", field=f"tls_server_config.{name}")


def _users(node: yaml.Node, path: Path) -> dict[str, str]:
    users: dict[str, str] = {}
    faults = Faults()
    for name, value, place in items(node, "basic_auth_users", path, faults):
        given = raw_of(value)
        with faults.noted():
            if not name or ":" in name or not name.isprintable():
                raise ConfigError(f"{place}: a user name has printable characters and no colon", field="basic_auth_users")
            if not isinstance(given, str) or not HASH.fullmatch(given):
                # What stands there may be the password itself: it is not repeated.
                raise ConfigError(
                    f"basic_auth_users.{name}: a bcrypt hash is needed, as «htpasswd -nBC 10 {name}» prints it ({place})",
                    field=f"basic_auth_users.{name}",
                )
            users[name] = given
    faults.end()
    return users


def _file(field: Field) -> Path:
    """Relative to the folder of the web configuration file."""
    raw = raw_of(field.node)
    if not isinstance(raw, str) or not raw or "\0" in raw:
        raise field.wrong("accepted: a path")
    return field.path.parent / raw


def _word(table: Mapping[str, Any], unsupported: Mapping[str, str] = {}) -> Reader:
    def read(field: Field) -> Any:
        raw = raw_of(field.node)
        if isinstance(raw, str) and raw in unsupported:
            raise field.wrong(f"{raw} is not supported here: {unsupported[raw]}")
        if not isinstance(raw, str) or raw not in table:
            raise field.wrong(f"unknown; accepted: {', '.join(table)}")
        return table[raw]

    return read


def _ciphers(field: Field) -> tuple[str, ...]:
    found = []
    for name in words(field):
        if name not in CIPHERS:
            raise field.wrong(f"unknown cipher suite {name[:60]}; accepted: {', '.join(CIPHERS)}")
        found.append(CIPHERS[name])
    return tuple(name for name in found if name)


def _curve(field: Field) -> str:
    found = words(field)
    if any(name not in CURVES for name in found):
        raise field.wrong(f"unknown curve; accepted: {', '.join(CURVES)}")
    if len(found) > 1:
        raise field.wrong("several curves are not supported here: name one, or leave it out for the usual ones")
    return CURVES[found[0]]


def _headers(field: Field) -> dict[str, str]:
    found = texts(field)
    for name, value in found.items():
        if name not in HEADERS:
            raise field.wrong(f"{name[:60]} cannot be configured; accepted: {', '.join(HEADERS)}")
        if HEADERS[name] and value and value not in HEADERS[name]:
            raise field.wrong(f"{name}: accepted: {', '.join(HEADERS[name])}")
        if not value.isascii() or not value.isprintable():
            raise field.wrong(f"{name}: characters that no header may hold")
    return {name: value for name, value in found.items() if value}


def _unsupported(why: str) -> Reader:
    def read(field: Field) -> Any:
        raise field.wrong(f"not supported here: {why}")

    return read


_OLD: Final = dict.fromkeys(("TLS10", "TLS11"), "RFC 8996 forbids it")
_UNVERIFIED: Final = dict.fromkeys(
    ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert"),
    "a certificate that nobody verifies proves nothing; use VerifyClientCertIfGiven or RequireAndVerifyClientCert",
)
_HTTP: Final[Mapping[str, Reader]] = {
    # HTTP/1.1 is spoken in any case, which a client of HTTP/2 falls back to.
    "http2": one(boolean()),
    "headers": _headers,
}
_TLS: Final[Mapping[str, Reader]] = {
    "cert_file": _file,
    "key_file": _file,
    "client_ca_file": _file,
    "client_auth_type": _word(CLIENT_AUTH, _UNVERIFIED),
    "client_allowed_sans": words,
    "min_version": _word(VERSIONS, _OLD),
    "max_version": _word(VERSIONS, _OLD),
    "cipher_suites": _ciphers,
    "prefer_server_cipher_suites": one(boolean()),
    "curve_preferences": _curve,
    "cert": _unsupported("name a cert_file"),
    "key": _unsupported("name a key_file"),
    "client_ca": _unsupported("name a client_ca_file"),
}
