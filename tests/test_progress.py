"""Progress read from output: recordings of real programs, what each rule says, and any text whatever."""

from __future__ import annotations

import random
import re
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headway.supervisor import screen
from headway.supervisor.progress import ProgressReader, Reading

CORPUS = Path(__file__).resolve().parent / "corpus"
EXPECTED: dict[str, dict[str, Any]] = tomllib.loads((CORPUS / "expected.toml").read_text(encoding="utf-8"))


def shown(reading: Reading) -> str:
    total = "" if reading.total is None else f"/{reading.total:.12g}"
    return f"{reading.current:.12g}{total}" + (f" {reading.unit}" if reading.unit else "")


def recording(name: str) -> str:
    return (CORPUS / f"{name}.out").read_bytes().decode("utf-8", "replace")


def read(*texts: str, reader: ProgressReader | None = None) -> tuple[list[Reading | None], list[str]]:
    """The reading after each text and after the end, and all lines."""
    reader = reader or ProgressReader()
    readings: list[Reading | None] = []
    lines: list[str] = []
    for text in texts:
        lines += reader.feed(text)
        readings.append(reader.reading)
    lines += reader.close()
    return [*readings, reader.reading], lines


def final(text: str) -> Reading | None:
    return read(text)[0][-1]


def pieces(text: str, seed: int) -> list[str]:
    chance = random.Random(seed)
    cut: list[str] = []
    while text:
        size = chance.choice((1, 2, 7, 40, 300, 4096))
        cut.append(text[:size])
        text = text[size:]
    return cut


def is_within(wanted: list[str], found: list[str]) -> bool:
    rest = iter(found)
    return all(one in rest for one in wanted)


# What programs really print


def test_the_corpus_is_whole() -> None:
    assert {path.stem for path in CORPUS.glob("*.out")} == set(EXPECTED)
    assert len(EXPECTED) >= 60
    assert sum(not entry["readings"] for entry in EXPECTED.values()) >= 20
    assert all((CORPUS / f"{name}.out").stat().st_size <= 8192 for name in EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recording_has_its_readings(name: str) -> None:
    wanted = EXPECTED[name]
    readings, lines = read(*recording(name))
    found = [shown(reading) for reading in readings if reading]
    assert is_within(wanted["readings"], found)
    assert (shown(readings[-1]) if readings[-1] else None) == (wanted["readings"] or [None])[-1]
    assert bool(found) == bool(wanted["readings"])
    assert len(lines) == wanted["lines"]
    assert [line for line in lines if re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", line)] == []


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recording_reads_the_same_however_it_is_cut(name: str) -> None:
    text = recording(name)
    whole, lines = read(text)
    for cut in (list(text), *(pieces(text, seed) for seed in range(3))):
        readings, others = read(*cut)
        assert readings[-2:] == whole[-2:]
        assert others == lines


# What counts


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("[1/7] FROM base\n", Reading(1, 7, "steps")),
        ("#9 [build 2/7] RUN make\n", Reading(2, 7, "steps")),
        ("[+] Building 3.2s (5/12)\n => [1/4] FROM base\n\x1b[2A[+] Building 3.9s (6/12)\n", Reading(6, 12, "steps")),
        ("[+] Building 0.9s (7/12)\n => CACHED [build 2/4] WORKDIR /src\n\x1b[2A[+] Building 1s (8/12)\n", Reading(8, 12, "steps")),
        ("[+] Building 0.9s (12/12) FINISHED    docker:default\n", Reading(12, 12, "steps")),
        ("[+] Running 2/3\n", Reading(2, 3, "steps")),
        ("#5 [stage-1 2/5] WORKDIR /srv\n#7 [build 2/4] RUN x\n#5 [stage-1 2/5] WORKDIR /srv\n", Reading(4, 9, "steps")),
        ("#5 [linux/amd64 1/2] FROM a\n#6 [linux/arm64 1/2] FROM a\n#7 [linux/arm64 2/2] RUN b\n", Reading(3, 4, "steps")),
        ("#5 [a 1/2] RUN x\n#6 [a 2/2] RUN y\n#5 [b 1/3] RUN x\n", Reading(1, 3, "steps")),
        ("Step 3/7 : COPY . .\n", Reading(3, 7, "steps")),
        ("<====---------> 33% CONFIGURING [2s]\r<-------------> 4% EXECUTING [3s]\r", Reading(4, 100, "%")),
        ("[ 12%] Building C object a.o\n", Reading(12, 100, "%")),
        ("tests/test_a.py ......x.. [ 63%]\n", Reading(63, 100, "%")),
        ("Epoch 1/10\n", Reading(1, 10, "epochs")),
        (" 45%|████      | 36/80 [00:01<00:01, 30.0it/s]\n", Reading(36, 80, "it")),
        ("   ━━━━━━━━━━ 1.2/5.0 MB 3.0 MB/s eta 0:00:01\n", Reading(1.2, 5.0, "MB")),
        ("model:  50%|█████     | 512k/1.00M [00:01<00:01, 1.0MB/s]\n", Reading(512e3, 1e6, "B")),
        ("Receiving objects:  45% (123/273)\rReceiving", Reading(123, 273, "objects")),
        ("  Duration: 00:01:10.00, start: 0\nsize= 1kB time=00:00:35.10 bitrate=1 speed=1x\n", Reading(35.1, 70.0, "s")),
        ("5242880 bytes (5.2 MB, 5.0 MiB) copied, 1 s, 5 MB/s\n", Reading(5242880, None, "B")),
        ("x 1/80\nx 2/80\n", Reading(2, 80, None)),
        ("1 of 80 rows\n2 of 80 rows\n", Reading(2, 80, "rows")),
        ("1,000 / 5,000 done\n2,000 / 5,000 done\n", Reading(2000, 5000, None)),
        ("\r10%\r20%\r30%", Reading(30, 100, "%")),
        ("done 10%\ndone 20%\n", Reading(20, 100, "%")),
        ("part 10%\npart 20%\npart 30%\n", Reading(30, 100, "%")),
    ],
)
def test_progress(text: str, wanted: Reading) -> None:
    assert final(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "51/80\n",
        "51/80\n51/80\n",
        "[+] Building 0.1s (2/3)\n[+] Building 5.1s (2/3)\n[+] Building 9.3s (3/3)\n",
        " => [1/6] FROM base 0.0s\n => [2/6] RUN x 0.1s\n => [3/6] RUN y 0.1s\n",
        "#12 [3/7] is one of many tickets\n",
        "<====---------> 33% CONFIGURING [2s]\r<======-------> 40% CONFIGURING [2s]\r",
        "63% of it\n64%\n",
        "part 10%\npart 20%\n",
        "2026/11/21\n2026/11/22\n2026/11/23\n",
        "11/21 a\n11/22 a\n11/23 a\n",
        "10.0.0.1/24\n10.0.0.2/24\n10.0.0.3/24\n",
        "v1.2/1.9\nv1.3/1.9\n",
        "src/1/80\nsrc/2/80\nsrc/3/80\n",
        "\rCPU 10%\rCPU 20%\rCPU 30%\n",
        "attempt 1/5\nattempt 2/5\nattempt 3/5\n",
        "2/5 tests passed\n3/5 tests passed\n",
        "coverage: 10%\ncoverage: 20%\ncoverage: 30%\n",
        "5/5 left\n4/5 left\n3/5 left\n",
        "x 5/9\nx 4/9\nx 3/9\nx 2/9\n",
        "100% of tests passed\n",
        "[11/21] a\n[11/22] b\n",
        "a 3/2\na 4/2\n",
        "x 1/1\nx 1/1\n",
        "a 10/90\nb 20/80\nc 30/70\n",
        "| a | 10% |       |\n",
        "[3/9] a\n",
        "%d/%d\n0x1f/0xff\n",
        f"x 1/80 {'y' * 1100}\nx 2/80 {'y' * 1100}\n",
    ],
)
def test_no_progress(text: str) -> None:
    assert {*read(*text)[0]} == {None}


def test_what_goes_backwards_is_forgotten() -> None:
    assert read("x 1/9\nx 2/9\n", "x 1/9\n", "x 2/9\n")[0] == [Reading(2, 9, None), None, None, None]


def test_what_was_complete_may_begin_again() -> None:
    assert read("x 8/9\nx 9/9\n", "x 1/9\n")[0][1] == Reading(1, 9, None)


def test_a_straggler_of_parallel_work_does_not_lower_the_reading() -> None:
    text = "[ 10%] a\n[ 12%] b\n", "[ 11%] c\n", "[ 13%] d\n"
    assert [reading.current for reading in read(*text)[0] if reading] == [12, 12, 13, 13]
    assert final("[ 90%] a\n[  1%] b\n[  2%] c\n[  3%] d\n") == Reading(3, 100, "%")


def test_a_step_beats_what_is_within_it() -> None:
    inner = "".join(f"\r  working {percent}%" for percent in range(0, 101, 10)) + "\n"
    assert read("[1/3] a\n" + inner, "[2/3] b\n" + inner, "[3/3] c\n" + inner)[0][:3] == [Reading(n, 3, "steps") for n in (1, 2, 3)]


def test_what_appears_after_the_last_step_is_on_its_own() -> None:
    assert final("[1/2] a\n[2/2] b\n\r 10%|█████     | 8/80 [0<1, 3.0it/s]\r") == Reading(8, 80, "it")


def test_of_nested_bars_the_outer_one_counts() -> None:
    reader = ProgressReader()
    reader.feed("\r 33%|███       | 1/3 [00:00<00:00, 1.0it/s]")
    for number in range(1, 20):
        reader.feed(f"\n\r 50%|█████     | {number}/20 [00:00<00:00, 1.0it/s]\x1b[A")
    assert reader.reading == Reading(1, 3, "it")


def test_phases_follow_each_other() -> None:
    text = "".join(
        f"{phase} objects: {n}% ({n}/100)\r" for phase in ("Counting", "Receiving") for n in (50, 100 if phase[0] == "C" else 60)
    )
    assert final(text) == Reading(60, 100, "objects")


def test_the_unfinished_state_counts_only_where_it_goes_on() -> None:
    readings, _ = read("\r5/80", "\r6/80", "\r7", "/8", "0", "\r1/90")
    assert readings == [
        None,
        None,
        Reading(6, 80, None),
        Reading(6, 80, None),
        Reading(7, 80, None),
        Reading(7, 80, None),
        Reading(7, 80, None),
    ]


def test_an_unfinished_state_does_not_lower_the_reading() -> None:
    assert read("[ 10%] a\n\r[ 12%] b", "\r[ 11%] c", "\r[ 13%] d")[0][1:3] == [Reading(12, 100, "%"), Reading(13, 100, "%")]


# Lines


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a\nb", ["a", "b"]),
        ("a\r\n\r\nb\r\r\n", ["a", "", "b"]),
        ("\x1b[1;32mok\x1b[0m\x07 \x1b]0;title\x07done\n", ["ok done"]),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n", ["link"]),
        ("10%\r20%\r30%\n", ["30%"]),
        ("long text\rab\x1b[K\n", ["ab"]),
        ("long\rab\n", ["abng"]),
        ("|\b/\b-\bx\n", ["x"]),
        ("  0%\b\b\b\b 10%\n", [" 10%"]),
        ("a\rb\r          \r", []),
        ("a\tb\x00\n", ["a\tb"]),
        ("one\ntwo\n\x1b[2A\x1b[2Kuno\n\x1b[2Kdos\nend\n", ["one", "two", "uno", "dos", "end"]),
        ("\x1b7\x1b[24;0fProgress: [ 10%]\x1b8Unpacking a\n", ["Unpacking a"]),
        ("abc\x1b7\x1b[24;0fbar\x1b8def\n", ["abcdef"]),
        ("\x1b\x1b[0mAb\n", ["Ab"]),
        ("\r\x1b[K\n", []),
        ("\x1b[2Cx\n", ["  x"]),
        ("é—日本\n", ["é—日本"]),
    ],
)
def test_lines(text: str, wanted: list[str]) -> None:
    assert read(text)[1] == wanted
    assert read(*text)[1] == wanted


def test_bars_of_several_lines_leave_their_last_state() -> None:
    frames = "".join(f"\x1b[2Ka {n}\n\x1b[2Kb {n}\x1b[1A\r" for n in range(50))
    assert read(frames + "\n\nend\n")[1] == ["a 0", "a 49", "b 49", "end"]


def test_a_line_without_end_is_cut() -> None:
    reader = ProgressReader()
    lines = [line for _ in range(100) for line in reader.feed("x" * 1000)]
    assert [len(line) for line in lines] == [screen.LONGEST_LINE] * (100_000 // screen.LONGEST_LINE)
    assert len(reader.close()[0]) == 100_000 % screen.LONGEST_LINE


def test_a_cursor_far_to_the_right_makes_no_long_line() -> None:
    assert sum(map(len, read("\x1b[9999C" * 1000 + "x")[1])) <= screen.LONGEST_LINE + 1


def test_the_bar_for_people() -> None:
    reader = ProgressReader()
    reader.feed("starting\n")
    assert reader.redrawn is None
    reader.feed("\r 10%|█  |\r 20%|██ |")
    assert reader.redrawn == "20%|██ |"
    reader.feed("\ndone\n")
    assert reader.redrawn is None


# A pattern of one's own


def test_a_pattern_replaces_what_is_built_in() -> None:
    reader = ProgressReader(r"at (?P<current>[\d,]+) (?P<unit>\w+), (?P<total>[\d,]+) in all")
    assert read("[1/7] x\n", "at 1,200 rows, 5,000 in all\n", "at 9 rows, 5 in all\n", reader=reader)[0] == [
        None,
        *[Reading(1200, 5000, "rows")] * 3,
    ]
    assert read("p=0.5\n", reader=ProgressReader(re.compile(r"p=(?P<percent>[\d.]+)")))[0][-1] == Reading(0.5, 100, "%")
    assert read("at 7\n", reader=ProgressReader(r"at (?P<current>\w+)"))[0][-1] == Reading(7, None, None)
    assert read("y" * 2000 + "at 7\n", reader=ProgressReader(r"at (?P<current>\w+)"))[0][-1] is None
    assert read("at x\n", "at nan\n", reader=ProgressReader(r"at (?P<current>\w+)"))[0][-1] is None


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "no regular expression"),
        (r"(\d+)/(\d+)", "needs a named group"),
        (r"(?P<curent>\d+)", "curent"),
        (r"(?P<percent>\d+) (?P<total>\d+)", "without"),
        ("x" * 1001 + r"(?P<current>\d+)", "1000"),
    ],
)
def test_a_wrong_pattern_is_refused_with_the_reason(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ProgressReader(pattern)


# Any text


CONTROLS = (
    "\r",
    "\n",
    "\r\n",
    "\b",
    "\t",
    "\x07",
    "\x9b",
    "\x1b",
    "\x1b[",
    "0",
    ";",
    "m",
    "\x1b[K",
    "\x1b[2K",
    "\x1b[J",
    "\x1b[A",
    "\x1b[3A",
)
MOVES = ("\x1b[B", "\x1b[1G", "\x1b[2C", "\x1b[D", "\x1b7", "\x1b8", "\x1b[24;0f", "\x1b]0;", "\x1b\\", "\x1b[32m", "x" * 900)
NUMBERS = (
    "51/80",
    "52/80",
    "52/90",
    "[3/7] ",
    "45%",
    "━━━",
    "[===>  ] ",
    " of ",
    "(1/2)",
    "Epoch 2/3",
    " 45%|███   | 3/9 [00:01<00:01, 3.0it/s]",
)
FRAGMENTS = st.sampled_from(CONTROLS + MOVES + NUMBERS)


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAGMENTS | st.text(max_size=12), max_size=60), st.randoms(use_true_random=False))
def test_any_text_reads_the_same_however_it_is_cut(fragments: list[str], chance: random.Random) -> None:
    text = "".join(fragments)
    whole, cut = ProgressReader(), ProgressReader()
    lines = whole.feed(text)
    others: list[str] = []
    rest = text
    while rest:
        size = chance.randint(1, 9)
        others += cut.feed(rest[:size])
        assert cut.reading is None or cut.reading.total is None or cut.reading.current <= cut.reading.total
        rest = rest[size:]
    assert (others, cut.reading, cut.redrawn) == (lines, whole.reading, whole.redrawn)
    assert cut.close() == whole.close()
    assert cut.reading == whole.reading
    assert all(len(line) <= screen.LONGEST_LINE and "\n" not in line for line in lines)


def size_of(thing: object, seen: set[int]) -> int:
    if id(thing) in seen or isinstance(thing, type):
        return 0
    seen.add(id(thing))
    inside: list[object] = []
    if isinstance(thing, dict):
        inside = [*thing, *thing.values()]
    elif isinstance(thing, list | tuple):
        inside = [*thing]
    elif type(thing).__module__.startswith("headway"):
        inside = [getattr(thing, name) for name in getattr(thing, "__slots__", ()) or vars(thing)]
    return sys.getsizeof(thing) + sum(size_of(one, seen) for one in inside)


@pytest.mark.parametrize(
    "text",
    ["x", "\x1b]0;x", "\x1b[9A\n", "\x1b[9A", "\b\b", "1/2 \r", "\x1b[4;4fx", " " * 50, "\n\n\x1b[2Ay\r"],
)
def test_memory_is_bounded(text: str) -> None:
    reader = ProgressReader()
    for _ in range(20):
        reader.feed(text * 500)
    assert size_of(reader, set()) < 1_000_000


def test_memory_is_bounded_with_ever_new_shapes() -> None:
    reader = ProgressReader()
    for number in range(5000):
        word = "".join(chr(97 + int(digit)) for digit in str(number))
        reader.feed(f"{word} {number % 7}/10\n\r{word} {number % 90}%\r\n")
    assert size_of(reader, set()) < 1_000_000


@pytest.mark.parametrize(
    "text",
    [
        "1/" * 500 + "\n",
        "1 / 2 " * 160 + "\n",
        "1% " * 300 + "\n",
        "[" + "=" * 900 + "\n",
        "[" * 900 + "%1%\n",
        "#1 [" + "a " * 400 + "1/2\n",
        "size=" + " " * 900 + "time=\n",
        "1," * 400 + "1/2\n",
        "A" + " a" * 400 + ": 5% (1/2\n",
        "\r" + " " * 900 + "5%",
        "<" + "1" * 300 + ", " * 200 + "1/2\n",
    ],
)
def test_no_line_takes_long(text: str) -> None:
    reader = ProgressReader()
    started = time.process_time()
    for _ in range(100):
        reader.feed(text)
    assert time.process_time() - started < 2  # 20 ms for each; it is far below 1


def test_lines_of_a_log_are_no_bottleneck() -> None:
    """The bound leaves room for slow machines: some 60 MB/s on one core of a small server."""
    text = "".join(
        f"2026-11-21 10:00:{n % 60:02} INFO [worker-{n % 8}] registry: accepted update {n * 7919:x} after {n % 97} ms\n"
        for n in range(40_000)
    )
    best = 1e9
    for _ in range(3):
        reader = ProgressReader()
        started = time.process_time()
        assert sum(len(reader.feed(text[start : start + 65536])) for start in range(0, len(text), 65536)) == 40_000
        best = min(best, time.process_time() - started)
    assert reader.reading is None
    assert len(text) / best > 20e6
