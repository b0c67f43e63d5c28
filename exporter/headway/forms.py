"""The kinds of values a setting can have: how each is read from text, written as text, and what is accepted in words. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

from headway.durations import format_duration, parse_duration

T = TypeVar("T")
Raw = str | list[str]
"""What flags, the environment (text) and the configuration file (text or a list of texts) hold."""


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """`read` raises ValueError; `accepts` completes the sentence "accepted: …"; `write` gives text that `read` reads back; `word`
    stands for a value in usage lines."""

    accepts: str
    read: Callable[[Raw], T]
    write: Callable[[T], str] = str
    word: str = "VALUE"


def _text(raw: Raw) -> str:
    if isinstance(raw, list):
        raise ValueError("a list where one value is expected")
    return raw.strip()


def split_address(address: str) -> tuple[str, int]:
    """("127.0.0.1", 14323) of "127.0.0.1:14323", ("::1", 80) of "[::1]:80". Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 host needs brackets")
    if not colon or not host or re.search(r"[\s/@\[\]]", host) or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError("not host:port")
    return host, int(port)


def _address(raw: Raw) -> str:
    text = _text(raw)
    split_address(text)
    return text


def _url(raw: Raw) -> str:
    text = _text(raw)
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"\s", text) or parts.query or parts.fragment:
        raise ValueError("not an http address")
    parts.port  # noqa: B018  raises ValueError when it is no number
    return text.rstrip("/")


def _path(raw: Raw) -> Path:
    text = _text(raw)
    if not text or "\0" in text:
        raise ValueError("not a path")
    return Path(text).expanduser()


def _file(raw: Raw) -> Path | None:
    return _path(raw) if _text(raw) else None


def _hosts(raw: Raw) -> tuple[str, ...]:
    items = [part for part in re.split(r"[\s,]+", raw) if part] if isinstance(raw, str) else [part.strip() for part in raw]
    for item in items:
        if not re.fullmatch(r"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f:]+\]?", item):
            raise ValueError(f"{item!r} is no host name")
    return tuple(item.lower().strip("[]") for item in items)


ADDRESS: Final = Form("host:port, such as 127.0.0.1:14323 or [::1]:14323", _address, word="HOST:PORT")
URL: Final = Form("an address that begins with http:// or https://", _url, word="URL")
URL_OR_NONE: Final[Form[str | None]] = Form(
    f"{URL.accepts}, or none",
    lambda raw: None if _text(raw).lower() == "none" else _url(raw),
    lambda url: "none" if url is None else url,
    "URL|none",
)
PATH: Final = Form("a path", _path, word="DIR")
FILE: Final[Form[Path | None]] = Form("a path, or nothing for none", _file, lambda path: "" if path is None else str(path), "FILE")
HOSTS: Final[Form[tuple[str, ...]]] = Form(
    "host names without port, separated by commas (a list in the file)", _hosts, ", ".join, "HOSTS"
)


def choice(*words: str) -> Form[str]:
    def read(raw: Raw) -> str:
        word = _text(raw).lower()
        if word not in words:
            raise ValueError("not one of them")
        return word

    return Form(f"one of {', '.join(words)}", read, word="|".join(words))


def duration(*, least: float = 0.0) -> Form[float]:
    """Seconds, at least `least`; text with a unit is accepted."""

    def read(raw: Raw) -> float:
        seconds = parse_duration(_text(raw))
        if not seconds >= least:
            raise ValueError("too short")
        return seconds

    bound = f", at least {write_duration(least)}" if least else ""
    return Form(f"a duration, in seconds or with a unit (90s, 5m, 1h, 30d){bound}", read, write_duration, "DURATION")


def write_duration(seconds: float) -> str:
    """Text that reads back as exactly `seconds`: "5m" where that is exact, else "125.5s"."""
    short = format_duration(seconds)
    return short if parse_duration(short) == seconds else f"{seconds!r}s"


def ratio(*, above: float = 0.0, most: float = math.inf) -> Form[float]:
    """A finite number over `above` (itself excluded) and up to `most`."""

    def read(raw: Raw) -> float:
        number = float(_text(raw))
        if not (math.isfinite(number) and above < number <= most):
            raise ValueError("out of range")
        return number

    return Form(f"a number above {above:g}" + (f", at most {most:g}" if math.isfinite(most) else ""), read, "{:g}".format, "NUMBER")


def dollars() -> Form[float]:
    """A finite number, 0 or more."""

    def read(raw: Raw) -> float:
        number = float(_text(raw))
        if not (math.isfinite(number) and number >= 0):
            raise ValueError("out of range")
        return number

    return Form("a number of dollars, 0 or more", read, "{:g}".format, "NUMBER")


def count(*, least: int = 1) -> Form[int]:
    def read(raw: Raw) -> int:
        number = int(_text(raw))
        if number < least:
            raise ValueError("too small")
        return number

    return Form(f"a whole number, at least {least}", read, word="NUMBER")


def text(*, most: int = 4096) -> Form[str]:
    def read(raw: Raw) -> str:
        found = _text(raw)
        if not found or len(found) > most or "\0" in found:
            raise ValueError("not a text")
        return found

    return Form(f"a text of 1 to {most} characters", read, word="TEXT")


_BOOLEANS: Final = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def boolean() -> Form[bool]:
    def read(raw: Raw) -> bool:
        word = _text(raw).lower()
        if word not in _BOOLEANS:
            raise ValueError("not one of them")
        return _BOOLEANS[word]

    return Form("true or false", read, lambda value: "true" if value else "false", "BOOL")


_UNITS: Final = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 10**3, "mb": 10**6, "gb": 10**9}


def size(*, least: int = 1) -> Form[int]:
    """Bytes."""

    def read(raw: Raw) -> int:
        match = re.fullmatch(r"([0-9][0-9_]*(?:\.[0-9]+)?)\s*([A-Za-z]*)", _text(raw))
        unit = _UNITS.get(match[2].lower()) if match else None
        if match is None or unit is None:
            raise ValueError("not a size")
        number = int(float(match[1]) * unit)
        if number < least:
            raise ValueError("too small")
        return number

    return Form(f"a number of bytes, or with a unit (64 KiB, 4 MiB), at least {write_size(least)}", read, write_size, "BYTES")


def write_size(number: int) -> str:
    """262144 as "256 KiB", whatever is no whole multiple as it is."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if number >= factor and number % factor == 0:
            return f"{number // factor} {unit}"
    return str(number)


def optional(form: Form[T]) -> Form[T | None]:
    """Nothing at all is None."""

    def read(raw: Raw) -> T | None:
        return None if _text(raw) == "" else form.read(raw)

    return Form(f"{form.accepts}, or nothing", read, lambda value: "" if value is None else form.write(value), form.word)


AnyForm = Form[Any]
