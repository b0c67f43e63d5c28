"""What a field may hold: its bounds, in the words of the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from headway.labels import VISIBLE

MAX_BATCH: Final = 1000
MAX_LINES: Final = 1000
MAX_LINE_CHARS: Final = 8192
# SQLite and metrics hold 64-bit numbers; beyond 2^53 a float cannot count by one any more.
MAX_COUNT: Final = 2**53
Id = Annotated[
    str,
    Meta(pattern="^[A-Za-z0-9_-]{1,64}$", description="1 to 64 of A-Z a-z 0-9 _ -", examples=["nightly-backfill-42"]),
]
Label = Annotated[str, Meta(max_length=256)]
Name = Annotated[str, Meta(pattern=VISIBLE, max_length=512, examples=["NLP Backfill"])]
# What a person is to do is a line: it is a label of a metric as long as it is waited for.
WAITING_LENGTH: Final = 160
WaitingText = Annotated[
    str, Meta(pattern=VISIBLE, max_length=WAITING_LENGTH, examples=["permission to use Bash", "approval of the release"])
]
Text = Annotated[str, Meta(max_length=4096)]
Command = Annotated[str, Meta(max_length=16384)]
# No NUL: the kernel ends a word there.
Word = Annotated[str, Meta(max_length=16384, pattern=r"^[^\x00]*$")]
Variable = Annotated[str, Meta(max_length=256, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Count = Annotated[float, Meta(ge=0, le=MAX_COUNT)]
Bytes = Annotated[int, Meta(ge=0, le=MAX_COUNT)]
Rate = Annotated[float, Meta(ge=0, le=1e12, description="items per minute")]
Seconds = Annotated[float, Meta(ge=0, le=1e10)]
Duration = (
    Annotated[float, Meta(ge=0, le=1e10)]
    | Annotated[
        str,
        # The pattern is for the document; headway.durations explains a wrong value better than a regular expression could.
        Meta(max_length=32, examples=["90s", "5m", "1h30m"], extra_json_schema={"pattern": "^[0-9]{1,6}(s|m|h)$"}),
    ]
)
Timeframe = Annotated[str, Meta(max_length=32, examples=["1h", "24h", "30d"], extra_json_schema={"pattern": "^[0-9]{1,3}(m|h|d)$"})]
Ratio = Annotated[float, Meta(ge=0, le=1e6)]
ExitCode = Annotated[int, Meta(ge=-255, le=0xFFFFFFFF)]
Signal = Annotated[int, Meta(ge=1, le=64)]
Pid = Annotated[int, Meta(ge=1, le=2**22)]
Sequence = Annotated[int, Meta(ge=1, le=MAX_COUNT)]
