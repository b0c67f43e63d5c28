"""What a command is called when nobody named it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from headway.supervisor.naming import LONGEST, derive_name
from headway.supervisor.project import here, project_of


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python3 -u /srv/jobs/train.py --epochs 3", "train.py"),
        ("python3.12 -m pytest -q", "pytest"),
        ("python -c 'print(1)'", "python"),
        ("bash -c 'sleep 1 | cat'", "sleep"),
        ("bash -lc 'set -e; source env; FOO=1 make test >log 2>&1'", "make test"),
        ("sh -c '# nightly\nexec ./bin/db \\\n --port 1'", "db"),
        ("sh -c 'for i in 1 2; do work $i; done'", "sh"),
        ("sh -c '$WORK now'", "sh"),
        ('sh -c "echo it\'s"', "sh"),
        ("bash -c 'echo hi'", "echo hi"),
        ("python -m pkg.a", "pkg.a"),
        ("python -W ignore -X dev main.py", "main.py"),
        ("python manage.py migrate --noinput", "manage.py migrate"),
        ("java -cp x.jar com.acme.Main", "com.acme.Main"),
        ("make -j4 build X=1", "make build"),
        ("make -C sub -f other.mk clean all", "make clean all"),
        ("mvn -q -pl core clean package", "mvn clean package"),
        ("go run ./cmd/import", "go run import"),
        ("deno run -A main.ts", "main.ts"),
        ("bun run build", "bun run build"),
        ("docker compose up -d", "docker compose up"),
        ("docker run --rm x", "docker run"),
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


SHOP = Path("/home/ann/shop")


def of_ann(folder: Path) -> str | None:
    return project_of(folder, Path("/home/ann"), [Path("/tmp")], {SHOP / ".git"}.__contains__)


@pytest.mark.parametrize(
    ("folder", "command", "name"),
    [
        ("/home/ann/shop", "python main.py", "shop: main.py"),
        ("/home/ann/blog", "python main.py", "blog: main.py"),
        ("/", "python /home/ann/shop/main.py --x", "shop: main.py"),
        ("/home/ann", "python shop/src/main.py", "shop: main.py"),
        ("/home/ann/shop", "python api/main.py", "shop/api: main.py"),
        ("/home/ann/shop/api", "make test", "shop/api: make test"),
        ("/home/ann/shop", "sh -c 'cd api && make test'", "shop/api: make test"),
        ("/home/ann/shop", "sh -c 'cd $API && make test'", "make test"),
        ("/home/ann/shop", "./run.sh", "shop: run.sh"),
        ("/home/ann/shop", ".venv/bin/pytest -q", "shop: pytest"),
        ("/home/ann/shop", "/usr/bin/python3 -m pytest", "shop: pytest"),
        ("/home/ann/shop", "python -m http.server", "http.server"),
        ("/home/ann/shop", "pg_dump -f shop.sql shop", "pg_dump"),
        ("/home/ann/shop", "/usr/local/bin/backup.sh", "backup.sh"),
        ("/home/ann", "python main.py", "main.py"),
        ("/home/ann", "npm run build", "npm run build"),
        ("/tmp/build-x81kd", "make test", "make test"),
        ("/home/ann/2026", "make test", "make test"),
        ("/home/ann/shop", "shop/../shop", "shop"),
    ],
)
def test_what_is_another_job_in_another_project_is_called_after_it(folder: str, command: str, name: str) -> None:
    assert derive_name(shlex.split(command), Path(folder), of_ann) == name


def test_a_module_of_the_folder_is_of_its_project(tmp_path: Path) -> None:
    (tmp_path / "src/pkg").mkdir(parents=True)
    (tmp_path / "one.py").touch()
    for module, name in (("pkg.a", "p: pkg.a"), ("one", "p: one"), ("http.server", "http.server")):
        assert derive_name(["python", "-m", module], tmp_path, lambda folder: "p") == name


def test_the_project_of_a_real_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shop/deep/er").mkdir(parents=True)
    (tmp_path / "shop/pyproject.toml").touch()
    assert project_of(tmp_path / "shop/deep/er") is None, "this is a folder for temporary files"
    assert project_of(tmp_path / "shop/deep/er", tmp_path, []) == "shop/er"
    (tmp_path / "link").symlink_to("shop")
    monkeypatch.chdir(tmp_path / "shop")
    for called, found in ((tmp_path / "link", tmp_path / "link"), (tmp_path, tmp_path / "shop"), ("", tmp_path / "shop")):
        monkeypatch.setenv("PWD", str(called))
        assert here() == found, "as the shell calls it, if that is where it is"


def test_a_name_is_short() -> None:
    assert len(derive_name(["x" * 500])) == LONGEST
    assert derive_name(["/"]) == "/"
