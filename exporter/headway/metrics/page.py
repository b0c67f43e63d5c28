"""One page of /metrics: which format and encoding the client wants, and the bytes it gets."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from types import ModuleType
from typing import Any, Final

_deflate: ModuleType = zlib
with suppress(ImportError):  # isal has no wheels for some machines: zlib does the same, at four times the cost
    _deflate = import_module("isal.isal_zlib")

# Level 1 of either: on an exposition higher levels cost several times as much and save a few percent.
_LEVEL: Final = 1
_RAW: Final = -15
# RFC 1952: magic, deflate, no flags, no time, no extra flags, unknown OS.
_GZIP_HEADER: Final = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
# RFC 1951: a last block with fixed codes and nothing in it.
_LAST_BLOCK: Final = b"\x03\x00"
# Below this a piece is compressed along with its neighbours; a piece of its own would lose more than it saves.
_KEEP_FROM: Final = 16 * 1024


class Format(Enum):
    """The value is the content type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@dataclass(slots=True)
class Piece:
    """Part of a page. `deflated` is filled when it is first sent compressed and serves until the piece is replaced."""

    data: bytes
    deflated: bytes | None = None


def body(pieces: Sequence[Piece]) -> bytes:
    return b"".join([piece.data for piece in pieces])


def gzipped(pieces: Sequence[Piece]) -> bytes:
    """The pieces as one gzip member (not several: some clients stop after the first).

    Deflate streams that begin and end on a byte border and do not refer back can be put side by side: a large piece that did
    not change since the last page is not compressed again.
    """
    out = [_GZIP_HEADER]
    running: Any = None
    checksum = size = 0
    for piece in pieces:
        checksum = _deflate.crc32(piece.data, checksum)
        size += len(piece.data)
        if len(piece.data) < _KEEP_FROM:
            running = running or _deflate.compressobj(_LEVEL, _deflate.DEFLATED, _RAW)
            out.append(running.compress(piece.data))
            continue
        if running is not None:
            out.append(running.flush(_deflate.Z_FULL_FLUSH))
        if piece.deflated is None:
            deflater = _deflate.compressobj(_LEVEL, _deflate.DEFLATED, _RAW)
            piece.deflated = deflater.compress(piece.data) + deflater.flush(_deflate.Z_FULL_FLUSH)
        out.append(piece.deflated)
    if running is not None:
        out.append(running.flush(_deflate.Z_FULL_FLUSH))
    out += [_LAST_BLOCK, checksum.to_bytes(4, "little"), (size & 0xFFFFFFFF).to_bytes(4, "little")]
    return b"".join(out)


def choose_format(accept: str | None) -> Format:
    """OpenMetrics for clients that name it and like it at least as well as text; text for all others.

    A wildcard means text: a browser or curl shall see what everyone knows. Whoever accepts neither gets text too, since a page
    in an unexpected format helps more than an error.
    """
    openmetrics = text = 0.0
    for media, parameters, quality in _ranges(accept):
        version = parameters.get("version")
        if media == "application/openmetrics-text" and version in (None, "1.0.0"):
            openmetrics = max(openmetrics, quality)
        elif media == "text/plain":
            text = max(text, quality)
    return Format.OPENMETRICS if openmetrics > 0 and openmetrics >= text else Format.TEXT


def accepts_gzip(accept_encoding: str | None) -> bool:
    """Whether gzip is acceptable and not liked less than no encoding at all."""
    found = {coding: quality for coding, _, quality in _ranges(accept_encoding)}
    gzip = found.get("gzip", found.get("x-gzip", found.get("*", 0.0)))
    return gzip > 0 and gzip >= found.get("identity", 0.0)


def _ranges(header: str | None) -> Iterable[tuple[str, dict[str, str], float]]:
    """The members of an Accept or Accept-Encoding header: name, parameters, quality (0–1; 1 unless given, 0 if unreadable)."""
    for member in (header or "").split(","):
        name, *rest = (part.strip() for part in member.split(";"))
        parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in (part.partition("=") for part in rest)}
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 0.0
        if name:
            yield name.lower(), parameters, quality if 0 <= quality <= 1 else 0.0
