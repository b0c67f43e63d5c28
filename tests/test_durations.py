"""Durations: every accepted form, and a clear no to the rest."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headway.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0.0),
        (90, 90.0),
        (0.5, 0.5),
        ("90", 90.0),
        ("0.5", 0.5),
        (".5s", 0.5),
        ("90s", 90.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        (" 1H30M ", 5400.0),
        ("1.5h", 5400.0),
        ("2d", 172800.0),
        ("1w", 604800.0),
        ("500ms", 0.5),
        ("1s500ms", 1.5),
        ("5 m", 300.0),
    ],
)
def test_accepted(value: int | float | str, seconds: float) -> None:
    assert parse_duration(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "s",
        "5x",
        "-5",
        "-5s",
        "5m 1h",
        "5m5m",
        "five",
        "1e3",
        "nan",
        "inf",
        "٣s",
        "1h30",
        "1:30",
        "9" * 400,
        -1,
        -0.5,
        math.nan,
        math.inf,
        -math.inf,
        10**400,
        True,
        None,
        [5],
        b"5s",
    ],
)
def test_refused_with_the_accepted_forms(value: object) -> None:
    with pytest.raises(ValueError, match=r"is not a duration.*\b1h30m\b"):
        parse_duration(value)  # type: ignore[arg-type]


def test_refusal_does_not_echo_a_long_text() -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration("x" * 10_000)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.04, "0s"),
        (0.44, "0.4s"),
        (2.0, "2s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (12.4, "12s"),
        (59.6, "1m"),
        (252, "4m 12s"),
        (3599.6, "1h"),
        (3600, "1h"),
        (7500, "2h 5m"),
        (7199, "2h"),
        (86399, "1d"),
        (273600, "3d 4h"),
        (-252, "-4m 12s"),
        (-0.01, "0s"),
    ],
)
def test_format(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf])
def test_format_refuses_non_finite(seconds: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        format_duration(seconds)


@given(st.floats(min_value=0, max_value=1e9))
def test_what_is_shown_can_be_read_back(seconds: float) -> None:
    """Within the precision of the second unit shown."""
    unit = 0.1 if seconds < 10 else 1 if seconds < 3600 else 60 if seconds < 86400 else 3600
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=unit / 2 * 1.01)


@given(st.text(max_size=40))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        assert 0 <= parse_duration(text) < math.inf
    except ValueError as error:
        assert "is not a duration" in str(error)
