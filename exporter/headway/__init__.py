"""Headway: progress of everything that runs in the background, in Prometheus and Grafana.

A script needs three names of it, and none costs it anything before it is used (importing this module imports nothing else):

    from headway import Reporter, track, Client
"""

from __future__ import annotations

from headway.version import VERSION as __version__

TYPE_CHECKING = False  # as in typing, which is slow to import
if TYPE_CHECKING:
    from typing import Any

    from headway.reporter import Cancelled, Client, Reporter, track

__all__ = ["Cancelled", "Client", "Reporter", "__version__", "track"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from headway import reporter

        value = getattr(reporter, name)
        globals()[name] = value  # the next look-up is an ordinary one
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
