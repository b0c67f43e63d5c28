"""A process by the beginning of its id, as lists and the report show them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, Final

from headway.ids import check_id
from headway.reporter.client import ApiError, Client

SHORTEST: Final = 4
# How far back a beginning is looked for; the whole id always works.
SEARCHED: Final = 5000
PAGE: Final = 1000
_SHOWN: Final = 5
LONGEST_NAME: Final = 512


class NotOne(Exception):
    """No process has this id or begins so, or several do (`ids`): these are named."""

    def __init__(self, words: str, ids: Sequence[str] = ()) -> None:
        super().__init__(words)
        self.ids = ids


class NoId(NotOne):
    """It cannot be one."""


def resolve(client: Client, wanted: str, by_name: bool = False) -> dict[str, Any]:
    """The process with this id, or the only one whose id begins so; `by_name`: or the newest of this name. Where names do not
    count, the error names that one. Raises NotOne, ApiError, Unreachable."""
    try:
        return _with_id(client, wanted)
    except NotOne as error:
        missing = error
    named: Sequence[dict[str, Any]] = ()
    if not missing.ids and wanted.strip() and len(wanted) <= LONGEST_NAME:
        named = client.list(name=wanted, state="all", limit=1)
    if not named and by_name and isinstance(missing, NoId):
        raise NotOne(f"no process has the name {wanted[:80]!r}")
    if not named:
        raise missing
    if not by_name:
        raise NotOne(f"{wanted[:80]!r} is a name and no id; its newest run is {named[0]['id']}", [named[0]["id"]])
    return client.get(named[0]["id"])


def _with_id(client: Client, wanted: str) -> dict[str, Any]:
    try:
        check_id(wanted)
    except ValueError as error:
        raise NoId(f"{wanted[:80]!r} is no id ({error})") from None
    try:
        return client.get(wanted)
    except ApiError as error:
        if error.status != 404:
            raise
    found: list[str] = []
    if len(wanted) >= SHORTEST:
        newest = islice(client.iterate(state="all", limit=PAGE), SEARCHED)
        found = [process["id"] for process in newest if process["id"].startswith(wanted)]
    if len(found) == 1:
        return client.get(found[0])
    if found:
        shown = ", ".join(found[:_SHOWN]) + (", …" if len(found) > _SHOWN else "")
        raise NotOne(f"{len(found)} ids begin with {wanted}: {shown}. Give more of it", found)
    raise NotOne(f"there is no process {wanted}")
