"""Whether a service answers. Blocking."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Mapping
from typing import Final

from headway.forms import split_address
from headway.services.definition import Health

# A listener on this machine accepts at once.
PORT_TIMEOUT: Final = 1.0
_MOST_WORDS: Final = 200


def port_open(port: int, timeout: float = PORT_TIMEOUT) -> bool:
    """Whether somebody accepts connections on this port of the machine itself."""
    return any(_accepts(host, port, timeout) is None for host in ("127.0.0.1", "::1"))


def check(health: Health, cwd: str | None = None, env: Mapping[str, str] | None = None) -> str | None:
    """None when the check passes, else why it does not. A command runs in `cwd` with `env`."""
    if health.tcp is not None:
        host, port = split_address(health.tcp)
        fault = _accepts(host, port, health.timeout)
        return None if fault is None else f"{health.tcp} does not accept: {fault}"
    if health.http is not None:
        return _http(health.http, health.timeout)
    assert health.command is not None
    return _command(health.command, health.timeout, cwd, env)


def _accepts(host: str, port: int, timeout: float) -> str | None:
    try:
        with socket.create_connection((host, port), timeout):
            return None
    except TimeoutError:
        return f"no answer within {timeout:g} s"
    except OSError as error:
        return error.strerror or str(error)


def _http(url: str, timeout: float) -> str | None:
    import requests

    try:
        with requests.Session() as session:
            session.trust_env = False  # a proxy has no business with the machine's own services
            with session.get(url, timeout=timeout, stream=True, allow_redirects=False) as answer:
                return None if answer.status_code < 400 else f"{url} answers {answer.status_code}"
    except requests.Timeout:
        return f"{url}: no answer within {timeout:g} s"
    except (requests.RequestException, ValueError) as error:
        return f"{url} does not answer: {_root_cause(error)}"


def named(words: tuple[str, ...]) -> str:
    """A check in a few words: its command, without the shell that runs it."""
    shown = words[2] if words[:2] == ("/bin/sh", "-c") else " ".join(words)
    return shown if len(shown) <= 60 else f"{shown[:59]}…"


def _root_cause(error: BaseException) -> str:
    """What the system said, beneath what the libraries made of it."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, OSError) and at.strerror:
            return at.strerror
        inner = getattr(at, "reason", None) or next((arg for arg in reversed(at.args) if isinstance(arg, BaseException)), None)
        at = inner if isinstance(inner, BaseException) else at.__cause__ or at.__context__
    return "the connection was closed" if "Remote" in str(error) or "Aborted" in str(error) else type(error).__name__


def _command(words: tuple[str, ...], timeout: float, cwd: str | None, env: Mapping[str, str] | None) -> str | None:
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=None if env is None else dict(env),
            start_new_session=True,
        )
    except OSError as error:
        return f"its check {words[0]} cannot be run: {error.strerror}"
    with process:
        try:
            output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return f"its check {named(words)} did not end within {timeout:g} s"
    if process.returncode == 0:
        return None
    last = output.decode("utf-8", "replace").strip().rpartition("\n")[2][-_MOST_WORDS:]
    return f"its check {named(words)} ended with {process.returncode}" + (f": {last}" if last else "")
