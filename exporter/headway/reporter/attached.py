"""A reporter of a process that was created elsewhere: what a pickled Reporter becomes, and what `headway report` uses."""

from __future__ import annotations

from typing import Any

from headway.reporter.hub import hub
from headway.reporter.reporter import Reporter


def attach(id: str, name: str, given: dict[str, Any], url: str, key: str | None, raise_on_cancel: bool = False) -> Reporter:
    """A reporter for a process that was created elsewhere; in the process that created it, the very same object. `given` is what
    its Reporter was given, and as `identity` the OS process that it runs in."""
    known = hub().find(id)
    if known is not None:
        return known
    reporter: Reporter = object.__new__(Reporter)
    reporter.id = id
    reporter.name = name
    reporter._given = given
    reporter._raise_on_cancel = raise_on_cancel
    reporter._key = key
    reporter._begin(url, None, (given.get("progress") or {}).get("total"), owner=False)
    return reporter
