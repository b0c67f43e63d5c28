"""What a command is called when nobody named it."""

from __future__ import annotations

import shlex

import pytest

from headway.supervisor.naming import LONGEST, derive_name


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python3 -u /srv/jobs/train.py --epochs 3", "train.py"),
        ("python3.12 -m pytest -q", "pytest"),
        ("python -c 'print(1)'", "python"),
        ("bash -c 'sleep 1 | cat'", "bash"),
        ("sh ./nightly.sh full", "nightly.sh"),
        ("node build.js", "build.js"),
        ("java -jar app/server.jar", "server.jar"),
        ("make test", "make test"),
        ("make -j4", "make"),
        ("/usr/bin/rsync -a src/ dst/", "rsync"),
        ("git fetch origin", "git fetch"),
        ("cargo build --release", "cargo build"),
        ("npm run build:css", "npm run build:css"),
        ("npm run --silent build", "npm run"),
        ("pg_dump -f shop.sql shop", "pg_dump"),
        ("env LANG=C TZ=UTC make all", "make all"),
        ("nice -n 10 ionice -c 3 tar cf a.tar /etc", "tar cf"),
        ("timeout -k 5 10m ./sync.sh", "sync.sh"),
        ("sudo -u backup restic backup", "restic backup"),
        ("uv run train.py", "train.py"),
        ("uv pip install x", "uv pip"),
        ("env", "env"),
        ("nohup", "nohup"),
        ("./run", "run"),
    ],
)
def test_it_is_called_as_a_person_would(command: str, name: str) -> None:
    assert derive_name(shlex.split(command)) == name


def test_a_name_is_short() -> None:
    assert len(derive_name(["x" * 500])) == LONGEST
    assert derive_name(["/"]) == "/"
