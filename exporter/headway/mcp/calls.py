"""One call of the exporter for a tool: in a thread of its own, with the key of whoever asks, its errors as what to do next."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import anyio.to_thread
from mcp.server.mcpserver.exceptions import ToolError

from headway.reporter.beginning import NotOne, resolve
from headway.reporter.client import ApiError, Client, Unreachable

T = TypeVar("T")

# Over HTTP everyone comes with a key of their own; the exporter decides what it may do.
CALLER_KEY: Final[ContextVar[str | None]] = ContextVar("caller_key", default=None)
NEXT: Final = {
    401: "Tell the user that this server needs a valid key of the exporter (HEADWAY_KEY_FILE); do not try again before that.",
    403: "Tell the user which role is needed; do not try again with this key.",
    404: "list_processes with state=all shows which ids there are, list_services which services.",
    409: "Look at it with show_process or list_services before you decide what to do.",
    413: "Send less.",
    422: "Correct the argument that is named and call again.",
    503: "Try again in some seconds; if it stays so, tell the user.",
    507: "Nothing was stored. Tell the user that the exporter's disk needs attention.",
}


@dataclass(frozen=True)
class Exporter:
    """The exporter at `url`. `key` opens it, unless each caller brings a key (`keyed`): then there is no other."""

    url: str
    key: str | None = None
    keyed: bool = False

    async def ask(self, call: Callable[[Client], T]) -> T:
        """What `call` returns. Raises ToolError, whose text says what to do next."""
        key = CALLER_KEY.get() if self.keyed else self.key
        if self.keyed and not key:
            raise ToolError("This call came without a key of the exporter.")
        return await anyio.to_thread.run_sync(self._asked, call, key)

    async def ask_of(self, id: str, call: Callable[[Client, str], T]) -> T:
        """What `call` returns for the process with this id, or whose id alone begins so: the report shows beginnings. Raises
        ToolError."""

        def asked(client: Client) -> T:
            try:
                return call(client, id)
            except ApiError as error:
                if error.status != 404:
                    raise
                whole = str(resolve(client, id)["id"])
                if whole == id:  # that was not what was not found
                    raise
            return call(client, whole)

        return await self.ask(asked)

    async def whole(self, id: str | None) -> str | None:
        """The whole id of the process whose id alone begins so; an id that nobody has is left to the exporter to judge. Raises
        ToolError when several begin so."""

        def asked(client: Client) -> str | None:
            try:
                return None if id is None else str(resolve(client, id)["id"])
            except NotOne as error:
                if error.ids:
                    raise
                return id

        return await self.ask(asked)

    def _asked(self, call: Callable[[Client], T], key: str | None) -> T:
        try:
            # A client is not for several threads at once, and tools may be called side by side.
            with Client(self.url, key) as client:
                return call(client)
        except (ApiError, Unreachable) as error:
            raise ToolError(advice(error)) from None
        except NotOne as error:
            raise ToolError(f"{error}. {NEXT[404]}") from None


def advice(error: ApiError | Unreachable) -> str:
    """What went wrong, and what a model that reads it should do."""
    if isinstance(error, Unreachable):
        return (
            f"The exporter at {error.url} does not answer: {error.reason}. Ask the user whether it runs (headway serve). If this "
            "call was to change something, look whether it did before you repeat it."
        )
    said = (error.detail or error.title).rstrip(".")
    then = NEXT.get(error.status, "Look at the state with list_processes before you try again.")
    return f"{said}{'' if said.endswith('?') else '.'} {then}"


def given(**fields: Any) -> dict[str, Any]:
    """The fields that were given."""
    return {name: value for name, value in fields.items() if value is not None}
