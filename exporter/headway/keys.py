"""Service keys: who may do what. A key's text is shown once; the key file holds its hash only.

The file `keys.json` in the data directory is a JSON list of `{id, name, role, user, hash, created_at}`, mode 0600, always replaced
as a whole. Whoever changes it (the exporter, `headway key`) holds `keys.lock`; whoever reads it sees the old list or the new one.
A key's text is `hw_<id>_<secret>`, the secret 32 random bytes: a plain SHA-256 is enough, there is nothing to guess.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from headway.datadir import ADMIN_KEY_FILE, KEY_TEXT, read_key
from headway.errors import Conflict, HeadwayError, InvalidInput, NotFound
from headway.wholefile import keep_owner, replace_file

KEYS_FILE: Final = "keys.json"
LOCK_FILE: Final = "keys.lock"
FIRST_START: Final = "first-start"
_LABEL: Final = re.compile(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,62}[^\s\x00-\x1f\x7f])?")
_NOBODY: Final = "0" * 64


class KeyFileError(HeadwayError):
    """The key file cannot be read or written. Nobody gets in by key until it is repaired; nothing was overwritten."""

    status = 503
    title = "Key file unusable"


class Role(IntEnum):
    """What a caller may do; each role may do all that those before it may."""

    VIEWER = 1
    REPORTER = 2
    OPERATOR = 3
    ADMIN = 4

    @property
    def label(self) -> str:
        """Its name in files, flags and answers."""
        return self.name.lower()

    def __str__(self) -> str:
        return self.label

    def __format__(self, spec: str) -> str:
        return format(self.label, spec)

    def allows(self, needed: Role) -> bool:
        return self >= needed

    @classmethod
    def of(cls, label: str) -> Role:
        """Raises InvalidInput."""
        try:
            return cls[label.upper()]
        except KeyError:
            raise InvalidInput(f"no role {label!r}; accepted: {', '.join(role.label for role in cls)}", field="role") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """`user`: the key acts for this user only, and sees only that user's processes; None: for anybody. `created_at` in unix s."""

    id: str
    name: str
    role: Role
    user: str | None = None
    hash: str
    created_at: float


class KeyRing:
    """The keys of one data directory. A lookup costs one stat; a changed file is read again at the next lookup. In an event loop
    (see `serve`) all lookups of one turn cost one.

    Every method that reads raises KeyFileError while the file is missing, damaged or writable by others.
    """

    def __init__(self, data_dir: Path, now: Callable[[], float] = time.time) -> None:
        self.path = data_dir / KEYS_FILE
        self._now = now
        self._seen: tuple[int, ...] | None = None
        self._keys: Mapping[str, Key] = {}
        self._problem: str | None = None
        self._configured = False
        self._call_soon: Callable[[Callable[[], None]], object] | None = None
        self._looked = False  # in this turn of the event loop

    def serve(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        """From now on it is asked in the event loop alone that this `call_soon` is of. What a turn of it reads was sent before the
        turn began, and whoever had seen a key revoked by then finds it revoked."""
        self._call_soon = call_soon

    @property
    def exists(self) -> bool:
        return self.path.exists()

    @property
    def problem(self) -> str | None:
        """What is wrong with the file and what to do, for readiness; None when it can be used."""
        try:
            self._refresh()
        except KeyFileError as error:
            return error.detail
        return None

    @property
    def configured(self) -> bool:
        """Whether somebody made a key, beside the one of the first start."""
        if not self._looked or self._problem is not None:  # asked for each request
            self._refresh()
        return self._configured

    def list(self) -> list[Key]:
        """Oldest first."""
        return sorted(self._refresh().values(), key=lambda key: (key.created_at, key.id))

    def find(self, text: str) -> Key | None:
        """The key with this text. Takes the same time whether its id is known or not."""
        keys = self._refresh()
        match = KEY_TEXT.fullmatch(text)
        key = keys.get(match[1]) if match else None
        same = hmac.compare_digest(_hash(text), key.hash if key else _NOBODY)
        return key if same else None

    def get(self, key_id: str) -> Key | None:
        """The key with this id, unless it was revoked."""
        return self._refresh().get(key_id)

    def create(self, name: str, role: Role, user: str | None = None) -> tuple[Key, str]:
        """The new key and its text, which cannot be had again. Raises InvalidInput, Conflict (the name is taken), KeyFileError."""
        _check_label(name, "name")
        if user is not None:
            _check_label(user, "user")
        if name == FIRST_START:
            raise InvalidInput(f"the name {FIRST_START} is the exporter's own: choose another", field="name")
        with self._locked() as keys:
            if any(key.name == name for key in keys.values()):
                raise Conflict(f"there is a key named {name!r} already: revoke it first, or choose another name", field="name")
            key, text = self._new(keys, name, role, user)
            self._write({**keys, key.id: key})
        return key, text

    def revoke(self, key_id: str) -> Key:
        """From the next lookup on the key is unknown. Raises NotFound, KeyFileError."""
        with self._locked() as keys:
            key = keys.get(key_id)
            if key is None:
                raise NotFound(f"there is no key with the id {key_id!r}", field="id")
            self._write({other.id: other for other in keys.values() if other is not key})
            plain = self.path.parent / ADMIN_KEY_FILE
            if key.name == FIRST_START and read_key_id(plain) == key.id:
                plain.unlink(missing_ok=True)
        return key

    def ensure_admin(self) -> Key | None:
        """Makes the first-start key and its file when there is no admin key at all; None when there is one."""
        with self._locked() as keys:
            if any(key.role is Role.ADMIN for key in keys.values()):
                return None
            key, text = self._new(keys, FIRST_START, Role.ADMIN, None)
            # First the text, then the list: after a crash between the two the next start does both again.
            write_secret(self.path.parent / ADMIN_KEY_FILE, text + "\n")
            self._write({**{other.id: other for other in keys.values() if other.name != FIRST_START}, key.id: key})
        return key

    def _new(self, keys: Mapping[str, Key], name: str, role: Role, user: str | None) -> tuple[Key, str]:
        key_id = next(candidate for candidate in iter(lambda: secrets.token_hex(4), "") if candidate not in keys)
        text = f"hw_{key_id}_{secrets.token_urlsafe(32)}"
        return Key(id=key_id, name=name, role=role, user=user, hash=_hash(text), created_at=self._now()), text

    def _refresh(self) -> Mapping[str, Key]:
        if not self._looked:
            self._look()
        if self._problem is not None:
            raise KeyFileError(self._problem)
        return self._keys

    def _look(self) -> None:
        if self._call_soon is not None:
            self._looked = True
            self._call_soon(self._turn_over)
        try:
            seen = _signature(os.stat(self.path))  # noqa: PTH116  a third faster than Path.stat, once for each request
        except OSError as error:
            self._seen, self._keys = None, {}
            self._problem = f"cannot read {self.path}: {error.strerror}; restore it, or restart the exporter to begin anew"
        else:
            if seen != self._seen:
                self._read()

    def _turn_over(self) -> None:
        self._looked = False

    def _read(self) -> None:
        self._keys, self._problem = {}, None
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                content = file.read()
            self._seen = _signature(status)
            if status.st_mode & 0o022:
                raise ValueError("others may write it (chmod 600)")
            self._keys = _parse(content)
            self._configured = any(key.name != FIRST_START for key in self._keys.values())
        except (OSError, ValueError) as error:
            words = error.strerror if isinstance(error, OSError) else str(error)
            self._problem = f"the key file {self.path} cannot be used: {words}; repair it, or restore it from a backup"

    @contextmanager
    def _locked(self) -> Iterator[Mapping[str, Key]]:
        """The keys, which nobody else changes meanwhile."""
        directory = self.path.parent
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise KeyFileError(f"cannot write to {directory}: {error.strerror}; check --data-dir and who owns it") from None
        try:
            keep_owner(lock, directory)
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self._refresh() if self.exists else {}
        finally:
            os.close(lock)

    def _write(self, keys: Mapping[str, Key]) -> None:
        rows = [{**asdict(key), "role": key.role.label} for key in keys.values()]
        write_secret(self.path, json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
        self._looked = False


def bootstrap(data_dir: Path) -> KeyRing:
    """The keys of an exporter that starts: without any admin key it gets one, whose text is in `admin.key`. Raises KeyFileError."""
    ring = KeyRing(data_dir)
    ring.ensure_admin()
    return ring


def read_key_id(path: Path) -> str | None:
    text = read_key(path)
    return text.split("_")[1] if text else None


def write_secret(path: Path, text: str) -> None:
    """Replaces the file by one of mode 0600 that is on the disk when this returns. KeyFileError: the old one is still there."""
    try:
        replace_file(path, text)
    except OSError as error:
        raise KeyFileError(f"cannot write {path}: {error.strerror}") from None


def _signature(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _check_label(text: str, field: str) -> None:
    if not _LABEL.fullmatch(text):
        raise InvalidInput(f"a key's {field} has 1 to 64 printable characters, no spaces around", field=field)


def _parse(content: bytes) -> dict[str, Key]:
    """Raises ValueError; JSON and UTF-8 errors are such."""
    rows = json.loads(content)
    if not isinstance(rows, list):
        raise ValueError("not a list of keys")
    keys = [_parse_key(row, number) for number, row in enumerate(rows, 1)]
    if len({key.id for key in keys}) != len(keys):
        raise ValueError("two keys have the same id")
    return {key.id: key for key in keys}


def _parse_key(row: Any, number: int) -> Key:
    try:
        key = Key(**{**row, "role": Role.of(row["role"])})
    except (TypeError, KeyError, AttributeError, InvalidInput):
        raise ValueError(f"key {number} is not complete, or holds what no key has") from None
    texts = [key.id, key.name, key.hash, *([] if key.user is None else [key.user])]
    if not all(isinstance(text, str) for text in texts) or not isinstance(key.created_at, int | float):
        raise ValueError(f"key {number} has a field of the wrong type")
    if not re.fullmatch(r"[0-9a-f]{8}", key.id) or not re.fullmatch(r"[0-9a-f]{64}", key.hash) or key.user == "":
        raise ValueError(f"key {number} has a wrong id, hash or user")
    return key
