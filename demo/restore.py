"""Fails: restores from an archive that was cut off, as after a full disk."""

from __future__ import annotations

import gzip
import random
import sys
import tempfile
from pathlib import Path

from demo.files import ROOTS, readable
from headway import track


def damaged_archive(folder: Path) -> tuple[Path, int]:
    """An archive of lines about files of which the last third is missing, and how many lines it should hold."""
    archive, lines = folder / "backup.gz", 0
    with gzip.open(archive, "wt") as file:
        for path in readable(ROOTS[0]):
            file.write(f"{random.getrandbits(256):064x} {path}\n")
            lines += 1
            if lines == 20_000:
                break
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) * 2 // 3])
    return archive, lines


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        archive, lines = damaged_archive(Path(folder))
        with gzip.open(archive, "rt") as file:
            try:
                for line in track(file, "Restore backup", total=lines, unit="lines", project="demo", group="demo"):
                    line.split()
            except EOFError as error:
                print(f"restore: {error}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
