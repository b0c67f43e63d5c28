"""Something a person has to do something about."""

from __future__ import annotations


class Problem(Exception):
    """Its text is the whole message: what is wrong, and what to do. Nothing was left half-done."""
