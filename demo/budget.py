"""How much time the demonstration may take."""

from __future__ import annotations

import os
from typing import Final

SECONDS: Final = "DEMO_SECONDS"
_DEFAULT: Final = 180.0


def seconds() -> float:
    """DEMO_SECONDS, at least 5; SystemExit when it is no number."""
    text = os.environ.get(SECONDS, "").strip() or str(_DEFAULT)
    try:
        return max(5.0, float(text))
    except ValueError:
        raise SystemExit(f"{SECONDS}={text!r} is not a number of seconds") from None
