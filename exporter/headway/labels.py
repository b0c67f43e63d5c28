"""What the name of a process may be: a person must be able to see it, and it stands on one line. Pure."""

from __future__ import annotations

import re
from typing import Final

from headway.cleaning import clean

# As a regular expression that JSON Schema (ECMA 262) understands too: anything but blanks, control and zero-width characters.
VISIBLE: Final = r"[^\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2060\ufeff]"

_VISIBLE: Final = re.compile(VISIBLE)
_UNTIDY: Final = re.compile(r"^\s|\s$|[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def blank(name: str) -> bool:
    """Whether nobody could see it."""
    return _VISIBLE.search(name) is None


def tidied(name: str) -> str:
    """Without blanks around it, colours and other terminal sequences; line breaks and other control characters are a blank."""
    if _UNTIDY.search(name) is None:
        return name
    return " ".join(clean(name).split()) or name.strip()
