"""Errors a user can meet. Each says which field is wrong and what to do; the API turns them into RFC 9457 problems."""

from __future__ import annotations

from collections.abc import Sequence


class HeadwayError(Exception):
    """Something a user can act on. `status` is the HTTP status it answers with, `title` its constant short name."""

    status = 500
    title = "Internal error"

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class InvalidInput(HeadwayError):
    """A value cannot be accepted; `field` is its path, such as progress.total."""

    status = 422
    title = "Invalid input"


class MalformedRequest(HeadwayError):
    """The request cannot be read at all (not JSON, wrong media type)."""

    status = 400
    title = "Malformed request"


class Unauthenticated(HeadwayError):
    """A key is needed, or the one given is unknown."""

    status = 401
    title = "Key required"


class Forbidden(HeadwayError):
    """The caller is known, but may not do this."""

    status = 403
    title = "Not allowed"


class TooManyTries(HeadwayError):
    """Nobody may try keys or passwords without end. `wait`: seconds until the next try."""

    status = 429
    title = "Too many wrong tries"

    def __init__(self, wait: int) -> None:
        super().__init__(f"too many wrong tries from your address: try again in {wait} s")
        self.wait = wait


class NotFound(HeadwayError):
    """There is no such process, or the caller may not see it."""

    status = 404
    title = "Not found"


class Conflict(HeadwayError):
    """The request contradicts what is already so: an illegal transition, an id in use."""

    status = 409
    title = "Conflict"


class TooLarge(HeadwayError):
    """The body, a field or the registry is over its limit."""

    status = 413
    title = "Too large"


class StoreUnavailable(HeadwayError):
    """The change could not be made durable and was undone; nothing that was acknowledged before is affected."""

    status = 507
    title = "Could not be stored"


class StoreCorrupt(HeadwayError):
    """The database file cannot be trusted. Nothing was overwritten."""

    status = 503
    title = "Store unusable"


class ConfigError(HeadwayError):
    """A setting is unknown or has a wrong value; says where it came from and what is accepted. `each`: the single ones,
    where several were found at once; else itself."""

    title = "Configuration error"

    def __init__(self, detail: str, *, field: str | None = None, each: Sequence[ConfigError] = ()) -> None:
        super().__init__(detail, field=field)
        self.each: Sequence[ConfigError] = each or (self,)

    @classmethod
    def of(cls, found: Sequence[ConfigError]) -> ConfigError:
        """All of these, which are one at least, with a line for each."""
        if len(found) == 1:
            return found[0]
        lines = "".join(f"\n  {one.detail}" for one in found)
        return cls(f"{len(found)} mistakes in the configuration:{lines}", field=found[0].field, each=tuple(found))


class Unreachable(HeadwayError):
    """A part of the stack that is needed does not answer; says which, where, and how to start it."""

    status = 502
    title = "Cannot be reached"
