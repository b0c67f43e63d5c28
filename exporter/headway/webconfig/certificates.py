"""TLS of the server: contexts from files, for each new connection as the files are then."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable
from typing import Any

from headway.errors import ConfigError
from headway.webconfig.definition import TLSServer


class Checked(ssl.SSLObject):
    """One connection of a server; after the handshake it looks at the names in the certificate of the client."""

    def do_handshake(self) -> None:
        super().do_handshake()
        allowed = getattr(self.context, "client_allowed_sans", ())
        if allowed and not set(allowed) & names_of(self.getpeercert()):
            raise ssl.SSLCertVerificationError("the client's certificate has none of the names in client_allowed_sans")


class Context(ssl.SSLContext):
    """`client_allowed_sans`: one of these names must be in the certificate of a client; none: any will do."""

    client_allowed_sans: tuple[str, ...] = ()
    sslobject_class = Checked


class Renewed(ssl.SSLContext):
    """What the server is started with; each new connection is made with the context that `current` gives."""

    current: Callable[[], ssl.SSLContext]

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return self.current().wrap_bio(*args, **kwargs)


def context_of(tls: TLSServer) -> Context:
    """Raises ConfigError: a file cannot be read, or does not hold what it should."""
    context = Context(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = tls.min_version, tls.max_version
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if tls.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if tls.cipher_suites:
        context.set_ciphers(":".join(tls.cipher_suites))
    if tls.curve is not None:
        context.set_ecdh_curve(tls.curve)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(tls.cert_file, tls.key_file, password=_no_password)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"tls_server_config: the certificate {tls.cert_file} with the key {tls.key_file} cannot be used: {_why(error)}",
            field="tls_server_config.cert_file",
        ) from None
    if tls.client_ca_file is not None:
        try:
            context.load_verify_locations(tls.client_ca_file)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"tls_server_config.client_ca_file: {tls.client_ca_file} cannot be used: {_why(error)}",
                field="tls_server_config.client_ca_file",
            ) from None
    context.verify_mode = tls.client_auth
    context.client_allowed_sans = tls.client_allowed_sans
    return context


def server_name(tls: TLSServer) -> str | None:
    """A name (or address) that the certificate is for, so that those who know the file know whom they speak to; None when it is
    expired, or for nobody. Found by shaking hands with itself: Python reads no certificate otherwise."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        server.load_cert_chain(tls.cert_file, tls.key_file, password=_no_password)
        client.load_verify_locations(tls.cert_file)
        sides = [client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True)]
        for _ in range(4):
            for side in sides:
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
        found = sorted(names_of(sides[0].getpeercert()), key=lambda name: (_is_address(name), name.startswith("*"), name))
    except (OSError, ValueError):
        return None
    return found[0].replace("*", "headway", 1) if found else None


def names_of(certificate: Any) -> set[str]:
    """The subject alternative names of what `getpeercert` gave: DNS, IP, e-mail and URI."""
    found = set()
    for kind, name in (certificate or {}).get("subjectAltName", ()):
        found.add(str(ipaddress.ip_address(name.strip())) if kind == "IP Address" else name)
    return found


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _no_password() -> str:
    raise ValueError("it is protected by a password, which nobody could type when the machine starts")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        known = {"KEY_VALUES_MISMATCH": "they do not belong together", "NO_START_LINE": "no PEM in it"}
        return known.get(error.reason or "", error.reason or "no PEM in it")
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
