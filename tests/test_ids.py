"""Ids: UUID version 7 as RFC 9562 lays it out, and what a client may choose itself."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from headway.ids import PATH_WORDS, check_id, new_id


def test_layout_is_that_of_uuid_version_7() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(new_id())
    after = time.time_ns() // 1_000_000
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    # A process that makes more than 4096 ids a millisecond runs ahead of the clock; a test before this one may have done so.
    assert before - 1 <= made.int >> 80 <= after + 1_000


def test_ids_of_one_thread_sort_in_the_order_they_were_made() -> None:
    ids = [new_id() for _ in range(20_000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_ids_made_in_threads_are_unique() -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: new_id(), range(20_000)))
    assert len(set(ids)) == len(ids)


def test_made_ids_are_valid() -> None:
    made = new_id()
    assert check_id(made) == made


@pytest.mark.parametrize("text", ["a", "A-b_9", "x" * 64, "kills", "stats2"])
def test_accepted(text: str) -> None:
    assert check_id(text) == text


@pytest.mark.parametrize("text", ["", "x" * 65, "a b", "a/b", "a.b", "ä", "a\n", "١", None, 5])
def test_refused(text: object) -> None:
    with pytest.raises(ValueError, match="1 to 64 letters"):
        check_id(text)  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["stats", "kill", "batch", "track", "start-all", "stream", "discovered", "Stats", "KILL"])
def test_path_words_are_refused(word: str) -> None:
    with pytest.raises(ValueError, match="word of the API's paths"):
        check_id(word)


def test_path_words_are_lower_case() -> None:
    assert {word.lower() for word in PATH_WORDS} == PATH_WORDS
