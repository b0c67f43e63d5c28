"""What a script imports to report its progress. Imports nothing of the server, and nothing heavy before it is needed.

- ``reporter.py``    Reporter: what the script calls; attribute stores and little else
- ``tracking.py``    track: a reporter around a loop
- ``waiting.py``     the block in which a script waits for a person
- ``hub.py``         one per OS process: its reporters, and the background thread that sends for them
- ``outbox.py``      what one reporter has still to say, as items of a batch request
- ``creation.py``    how a process is created: what it is, where it runs
- ``values.py``      anything that a script passes, as JSON that the exporter accepts
- ``link.py``        the connection to one exporter: address and key, requests, backoff
- ``spool.py``       final states on disk, for when no exporter could be reached
- ``ending.py``      how the script ended, for reporters that were not told
- ``client.py``      Client: every call of the HTTP API, for programs
"""

from __future__ import annotations

from headway.reporter.reporter import Cancelled, Reporter

TYPE_CHECKING = False  # as in typing, which is slow to import
if TYPE_CHECKING:
    from typing import Any

    from headway.reporter.client import Client
    from headway.reporter.tracking import track

__all__ = ["Cancelled", "Client", "Reporter", "track"]


def __getattr__(name: str) -> Any:
    value: Any
    if name == "Client":
        from headway.reporter import client

        value = client.Client
    elif name == "track":
        from headway.reporter import tracking

        value = tracking.track
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value  # the next look-up is an ordinary one
    return value
