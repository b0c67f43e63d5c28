"""Final states on disk: what an ended script could not bring to its exporter, until someone on this host does.

A file holds JSON lines. Each is one item of a batch request with two members more: `url`, the exporter that it was meant for, and
`at`, the unix time to which its `age` and its creation's `started_age` refer (whoever delivers it adds the seconds since).
A writer makes NAME.tmp, syncs it and renames it to NAME.ready; names sort by time. Who delivers holds a lock on the file and
removes it; items that the exporter refused for good remain in NAME.refused.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from headway.ids import new_id
from headway.places import spool_folder
from headway.reporter.link import Link, Undelivered, divided, encode

# A cron job on a machine whose exporter was removed must not fill the disk: then the oldest files go.
MAX_FILES: Final = 5000
# Statuses below 500 that say «not now» or «not with this key» rather than «never».
LATER: Final = frozenset({401, 403, 408, 429})


def directory(environ: Mapping[str, str] = os.environ) -> Path:
    """$HEADWAY_SPOOL, else /var/lib/headway/spool for root, else $XDG_STATE_HOME/headway/spool (~/.local/state/headway/spool).

    For a user without a home directory, as some containers have one: headway-UID/spool in the temporary directory. Raises OSError
    when somebody else has made that.
    """
    found = spool_folder(environ)
    return _own_temporary() / "spool" if found is None else Path(found)


def _own_temporary() -> Path:
    folder = Path(tempfile.gettempdir(), f"headway-{os.geteuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"{folder} belongs to another user; HEADWAY_SPOOL may name another folder")
    return folder


def write(folder: Path, url: str, items: Sequence[Mapping[str, Any]], *, synced: bool = True) -> Path:
    """Makes these items durable for the exporter at `url` and returns their file; not `synced`: they outlive this OS process only,
    which takes a tenth of the time. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = time.time()
    temporary = folder / f"{new_id()}-{os.getpid()}.tmp"
    _write(temporary, [encode({**item, "url": url, "at": now}) for item in items], synced)
    final = temporary.with_suffix(".ready")
    temporary.rename(final)
    if synced:
        _sync_folder(folder)
    names = sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith((".ready", ".refused")))
    for name in names[:-MAX_FILES]:
        (folder / name).unlink(missing_ok=True)
    return final


def deliver(folder: Path, link: Link, now: Callable[[], float] = time.time) -> tuple[int, list[str]]:
    """Brings what is meant for the exporter of `link` there. Returns how many items it took, and why it refused others for good.

    Raises Undelivered when it cannot take them now; then they stay. Safe to run in several processes at once.
    """
    delivered, refusals = 0, []
    for path in ready(folder):
        with _locked(path) as text:
            if text is None:
                continue
            lines = [_parsed(line) for line in text.splitlines() if line.strip()]
            items = [line for line in lines if line is not None]
            ours = [item for item in items if item["url"] == link.url]
            if items and not ours:
                continue
            refused, left = [], [item for item in items if item not in ours]
            failing = False
            bodies = [encode(_aged(item, now())) for item in ours]
            for part in divided(bodies) if ours else ():
                if failing:  # what comes after it waits with it: taken before, it would make that old news
                    left += ours[part.start : part.stop]
                    continue
                for place, result in link.deliver(bodies[part.start : part.stop]):
                    item = ours[part.start + place]
                    if result["status"] == 200:
                        delivered += 1
                    elif 400 <= result["status"] < 500 and result["status"] not in LATER:
                        refused.append(item)
                        refusals.append(str((result.get("error") or {}).get("detail", result["status"])))
                    else:
                        left.append(item)
                        failing = failing or result["status"] >= 500
            _settle(path, left, refused)
            if failing:
                raise Undelivered("failing", f"{link.url} cannot store now what ended scripts left behind")
    return delivered, refusals


def _settle(path: Path, left: Sequence[dict[str, Any]], refused: Sequence[dict[str, Any]]) -> None:
    """Replaces a file by what of it is left, and keeps what was refused beside it."""
    if refused:
        _write(path.with_suffix(".refused"), [encode(item) for item in refused])
    if left:
        rest = path.with_suffix(".tmp")
        _write(rest, [encode(item) for item in left])
        rest.rename(path)
    else:
        path.unlink(missing_ok=True)


def ready(folder: Path) -> Iterator[Path]:
    """Files that wait for delivery, oldest first."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(".ready"))
    except OSError:
        return
    for name in names:
        yield folder / name


def _parsed(line: str) -> dict[str, Any] | None:
    """None for a line that is no item: it can never be delivered."""
    try:
        item = json.loads(line)
    except ValueError:
        return None
    return item if isinstance(item, dict) and isinstance(item.get("id"), str) and isinstance(item.get("url"), str) else None


def _aged(line: Mapping[str, Any], now: float) -> dict[str, Any]:
    item = {field: value for field, value in line.items() if field not in ("url", "at")}
    passed = max(0.0, now - float(line.get("at", now)))
    item["age"] = float(item.get("age", 0.0)) + passed
    if isinstance(creation := item.get("create"), dict):
        item["create"] = {**creation, "started_age": float(creation.get("started_age", 0.0)) + passed}
    return item


@contextmanager
def _locked(path: Path) -> Iterator[str | None]:
    """The text of the file while nobody else delivers it; None when it is gone, being delivered or not ours to change."""
    try:
        import fcntl

        file = path.open("r+", encoding="utf-8", errors="replace")
    except (OSError, ImportError):
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it before may have removed or replaced it.
            text = file.read() if os.path.samestat(os.fstat(file.fileno()), path.stat()) else None
        except OSError:
            text = None
        yield text


def _write(path: Path, lines: Sequence[bytes], synced: bool = True) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor has no path
        file.write(b"".join(line + b"\n" for line in lines))
        file.flush()
        if synced:
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
