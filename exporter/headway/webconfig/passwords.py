"""Basic authentication: whether a password is that of a user, by bcrypt, which takes its time on purpose."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_KNOWN: Final = 100
# bcrypt looks at no more of a password than this (bytes); newer libraries refuse longer ones.
LONGEST: Final = 72
# For users that there are not: they must take as long. The hash of nothing anybody knows.
NOBODY: Final = "$2b$10$8K1p/a0dL1LXMIgoEDFrwOfMQbLgtnOoKsWc.6U6H0llP3puzeeEm"


class Passwords:
    """Those that were right are remembered (as an HMAC under a key of this run, with the hash they were right for), so that a
    scrape every two seconds costs nothing. One check runs at a time, in a thread."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._checking = asyncio.Lock()

    def known(self, users: Mapping[str, str], name: str, password: str) -> bool:
        """Whether it is right, as far as that is remembered."""
        return name in users and self._digest(name, users[name], password) in self._right

    async def check(self, users: Mapping[str, str], name: str, password: str) -> bool:
        """Whether it is right; remembered if so."""
        if self.known(users, name, password):
            return True
        expected = users.get(name)
        async with self._checking:
            right = await asyncio.to_thread(_matches, password, expected or NOBODY)
        if expected is None or not right:
            return False
        self._right[self._digest(name, expected, password)] = None
        while len(self._right) > MOST_KNOWN:
            self._right.popitem(last=False)
        return True

    def _digest(self, *parts: str) -> bytes:
        text = "\0".join(part.encode("utf-8", "surrogatepass").hex() for part in parts)
        return hmac.new(self._secret, text.encode(), hashlib.sha256).digest()


def credentials(authorization: str) -> tuple[str, str] | None:
    """Name and password of an Authorization header (RFC 7617); None when it is of another scheme, or damaged."""
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(text.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return None
    return (name, password) if colon else None


def _matches(password: str, expected: str) -> bool:
    import bcrypt

    try:
        return bcrypt.checkpw(password.encode("utf-8", "surrogatepass")[:LONGEST], expected.encode())
    except ValueError:
        return False
