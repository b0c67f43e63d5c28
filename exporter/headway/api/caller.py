"""Who calls, as the handlers see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headway.errors import Forbidden
from headway.keys import Role


@dataclass(frozen=True, slots=True)
class Caller:
    """`user`: sees only the processes of this user; None sees all. `name` is for the audit log. `keyed`: came with a key, and so
    perhaps from elsewhere; who has none is on this machine. `signed_in`: came by the cookie of a session of the pages; its requests
    that change something must carry `csrf` in the header `X-Headway-CSRF` (None: nothing of the kind is asked of this caller)."""

    role: Role
    user: str | None = None
    name: str = "anonymous"
    keyed: bool = False
    signed_in: bool = False
    csrf: str | None = None

    def require(self, role: Role) -> None:
        """Raises Forbidden unless the caller has at least this role, saying how to get it."""
        if not self.role.allows(role):
            raise Forbidden(
                f"this call needs the role {role.label}; {self.name} has {self.role.label}. "
                f"Give a key of that role (headway key create --role {role.label}): by --key-file or HEADWAY_KEY on the command "
                "line, as «Authorization: Bearer KEY» by HTTP."
            )

    def sees(self, user: str | None) -> bool:
        return self.user is None or self.user == user


def caller_of(scope: Any) -> Caller:
    caller: Caller = scope["state"]["caller"]
    return caller
