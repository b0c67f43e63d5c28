"""Keys: made, found, revoked; a damaged file opens nothing; concurrent writers lose nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from headway.datadir import ADMIN_KEY_FILE, read_key
from headway.errors import Conflict, InvalidInput, NotFound
from headway.keys import FIRST_START, KeyFileError, KeyRing, Role, bootstrap, write_secret


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return bootstrap(tmp_path / "data")


def test_roles_are_ordered() -> None:
    assert Role.VIEWER < Role.REPORTER < Role.OPERATOR < Role.ADMIN
    assert Role.OPERATOR.allows(Role.REPORTER) and Role.OPERATOR.allows(Role.OPERATOR)
    assert not Role.OPERATOR.allows(Role.ADMIN)
    assert Role.of("viewer") is Role.VIEWER and Role.ADMIN.label == "admin"
    assert f"{Role.ADMIN} {Role.ADMIN!s:>6}" == "admin  admin"
    with pytest.raises(InvalidInput, match="accepted: viewer, reporter, operator, admin"):
        Role.of("root")


def test_the_first_start_makes_an_admin_key_and_the_next_ones_none(ring: KeyRing) -> None:
    plain = ring.path.parent / ADMIN_KEY_FILE
    text = read_key(plain)
    assert text is not None
    key = ring.find(text)
    assert key is not None and (key.name, key.role, key.user) == (FIRST_START, Role.ADMIN, None)
    assert not ring.configured
    for path in (plain, ring.path, ring.path.parent / "keys.lock"):
        assert path.stat().st_mode & 0o777 == 0o600, path
    assert ring.path.parent.stat().st_mode & 0o777 == 0o700
    assert text not in ring.path.read_text()
    assert bootstrap(ring.path.parent).list() == ring.list()
    assert read_key(plain) == text


def test_a_start_with_other_keys_but_no_admin_gets_one(tmp_path: Path) -> None:
    KeyRing(tmp_path).create("prometheus", Role.VIEWER)
    ring = bootstrap(tmp_path)
    assert sorted(key.role for key in ring.list()) == [Role.VIEWER, Role.ADMIN]
    assert ring.configured
    (first,) = (key for key in ring.list() if key.name == FIRST_START)
    ring.create("mine", Role.ADMIN)
    ring.revoke(first.id)
    assert not (tmp_path / ADMIN_KEY_FILE).exists()
    assert [key.name for key in bootstrap(tmp_path).list()] == ["prometheus", "mine"]


def test_a_key_is_found_by_its_text_alone(ring: KeyRing) -> None:
    key, text = ring.create("nightly", Role.REPORTER, user="ada")
    assert text.startswith(f"hw_{key.id}_") and len(text) == 3 + 8 + 1 + 43
    assert ring.find(text) == key and (key.role, key.user) == (Role.REPORTER, "ada")
    assert ring.configured
    other = "A" if text[-1] != "A" else "B"
    wrong = [
        text[:-1] + other,
        text + "A",
        text[:-1],
        text.upper(),
        "",
        "hw_",
        f"hw_{'0' * 8}_{text[12:]}",
        key.hash,
        "\ud800",
        "é" * 55,
    ]
    assert [ring.find(candidate) for candidate in wrong] == [None] * len(wrong)


def test_a_revoked_key_is_unknown_at_once_everywhere(ring: KeyRing) -> None:
    elsewhere = KeyRing(ring.path.parent)
    key, text = ring.create("a", Role.OPERATOR)
    assert elsewhere.find(text) == key
    assert elsewhere.revoke(key.id) == key
    assert ring.find(text) is None
    with pytest.raises(NotFound, match=key.id):
        ring.revoke(key.id)


@pytest.mark.parametrize("name", ["", " a", "a ", "a\nb", "x" * 65, "\x00", FIRST_START])
def test_names_that_are_refused(ring: KeyRing, name: str) -> None:
    with pytest.raises(InvalidInput):
        ring.create(name, Role.VIEWER)
    with pytest.raises(InvalidInput):
        ring.create("fine", Role.VIEWER, user=name if name != FIRST_START else "")
    assert not ring.configured


def test_a_name_is_taken_once(ring: KeyRing) -> None:
    ring.create("a", Role.VIEWER)
    with pytest.raises(Conflict, match="already"):
        ring.create("a", Role.ADMIN)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        b"{}",
        b"[1]",
        b'[{"id": "00000000"}]',
        b"\xff",
        b'[{"id":"00000000","name":"x","role":"god","user":null,"hash":"%s","created_at":1}]' % (b"0" * 64),
        b'[{"id":"00000000","name":"x","role":"admin","user":"","hash":"%s","created_at":1}]' % (b"0" * 64),
        b'[{"id":"00000000","name":"x","role":"admin","user":null,"hash":"","created_at":1}]',
        b'[{"id":"00000000","name":"x","role":"admin","user":5,"hash":"%s","created_at":1}]' % (b"0" * 64),
        b'[{"id":"00000000","name":"x","role":"admin","user":null,"hash":"%s","created_at":1,"more":1}]' % (b"0" * 64),
    ],
)
def test_a_damaged_file_opens_nothing_and_is_not_overwritten(ring: KeyRing, content: bytes) -> None:
    text = read_key(ring.path.parent / ADMIN_KEY_FILE)
    assert text is not None and ring.find(text) is not None
    good = ring.path.read_bytes()
    ring.path.write_bytes(content)
    for attempt in (
        lambda: ring.find(text),
        lambda: ring.find(text),
        lambda: ring.configured,
        lambda: ring.create("x", Role.ADMIN),
        lambda: ring.list(),
        lambda: bootstrap(ring.path.parent),
    ):
        with pytest.raises(KeyFileError, match=r"keys\.json cannot be used: .*; repair it"):
            attempt()
    assert ring.problem is not None
    assert ring.path.read_bytes() == content
    ring.path.write_bytes(good)
    assert ring.find(text) is not None and ring.problem is None


def test_a_missing_or_open_file_opens_nothing(ring: KeyRing) -> None:
    text = read_key(ring.path.parent / ADMIN_KEY_FILE)
    assert text is not None
    ring.path.chmod(0o666)
    with pytest.raises(KeyFileError, match="others may write it"):
        ring.find(text)
    ring.path.chmod(0o600)
    assert ring.find(text) is not None
    ring.path.unlink()
    with pytest.raises(KeyFileError, match=r"cannot read .*keys\.json"):
        ring.find(text)
    with pytest.raises(KeyFileError):
        _ = ring.configured


def test_a_lookup_reads_the_file_only_when_it_changed(ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = ring.create("a", Role.VIEWER)
    assert ring.find(text) is not None
    reads: list[int] = []
    read = ring._read

    def counted() -> None:
        reads.append(1)
        read()

    monkeypatch.setattr(ring, "_read", counted)
    for _ in range(5):
        assert ring.find(text) is not None
    assert reads == []
    KeyRing(ring.path.parent).create("b", Role.VIEWER)
    assert ring.find(text) is not None
    assert reads == [1]


def test_keys_made_at_the_same_time_are_all_there(ring: KeyRing) -> None:
    code = (
        "import sys; from pathlib import Path; from headway.keys import KeyRing, Role\n"
        "for n in range(15): KeyRing(Path(sys.argv[1])).create(f'{sys.argv[2]}-{n}', Role.VIEWER)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(ring.path.parent), str(w)]) for w in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert len(ring.list()) == 61
    assert sorted(path.name for path in ring.path.parent.iterdir()) == ["admin.key", "keys.json", "keys.lock"]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    write_secret(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyFileError, match="No space left on device"):
        write_secret(path, "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"] and path.read_text() == "old"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_belongs_to_the_owner_of_the_directory(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12345)
    bootstrap(tmp_path)
    assert {path.stat().st_uid for path in tmp_path.iterdir()} == {12345}


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError, match=r"cannot write to .*file/data"):
        bootstrap(tmp_path / "file" / "data")


def test_the_file_is_a_list_as_documented(ring: KeyRing) -> None:
    ring.create("a", Role.VIEWER, user="ada")
    rows = json.loads(ring.path.read_text())
    assert [sorted(row) for row in rows] == [sorted(["id", "name", "role", "user", "hash", "created_at"])] * 2
    assert (rows[1]["role"], rows[1]["user"], rows[0]["user"]) == ("viewer", "ada", None)


def test_in_an_event_loop_the_file_is_looked_at_once_a_turn(tmp_path: Path) -> None:
    """Lookups of one turn agree; the next turn sees what somebody else changed."""
    ring, other = KeyRing(tmp_path), KeyRing(tmp_path)
    key, text = other.create("ci", Role.REPORTER)
    turns: list[Callable[[], None]] = []
    ring.serve(turns.append)
    assert ring.find(text) == key and ring.configured
    other.revoke(key.id)
    assert ring.find(text) == key and len(turns) == 1
    turns.pop()()
    assert ring.find(text) is None and not ring.configured and len(turns) == 1
    turns.pop()()
    ring.path.unlink()
    for _ in range(2):
        with pytest.raises(KeyFileError, match="restore it"):
            ring.find(text)
