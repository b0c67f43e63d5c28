"""Ports: which they are, and who is in the way."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from stack.ports import DEFAULTS, Ports, check_free, holders
from stack.problem import Problem


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which this test listens, on every address as many servers do."""
    with socket.create_server(("0.0.0.0", 0)) as listener:
        yield listener.getsockname()[1]


def test_defaults_and_variables() -> None:
    assert Ports.of({}) == Ports(**DEFAULTS)
    assert Ports.of({"PROMETHEUS_PORT": " 9190 ", "GRAFANA_PORT": ""}) == Ports(14323, 9190, 9093, 3000)
    assert Ports.of({}).url("exporter") == "http://127.0.0.1:14323"


@pytest.mark.parametrize("text", ["0", "65536", "-1", "9090x", "٩٠٩٠", "1e3", "90 90"])
def test_a_value_that_is_no_port_is_refused_by_name(text: str) -> None:
    with pytest.raises(Problem, match="ALERTMANAGER_PORT"):
        Ports.of({"ALERTMANAGER_PORT": text})


def test_two_services_cannot_share_a_port() -> None:
    with pytest.raises(Problem, match="EXPORTER_PORT and PROMETHEUS_PORT"):
        Ports.of({"EXPORTER_PORT": "9090"})


def test_what_runs_keeps_its_port() -> None:
    running = {"prometheus": 9190}
    assert Ports.of({}, running).prometheus == 9190
    assert Ports.of({"PROMETHEUS_PORT": "9190"}, running).prometheus == 9190
    with pytest.raises(Problem, match="runs on port 9190"):
        Ports.of({"PROMETHEUS_PORT": "9191"}, running)


def test_a_busy_port_is_named_with_its_holder_and_a_way_out(taken: int) -> None:
    with pytest.raises(Problem) as caught:
        check_free({"prometheus": taken})
    text = str(caught.value)
    assert f"port {taken} for prometheus" in text and f"(pid {os.getpid()})" in text and "PROMETHEUS_PORT=" in text


def test_every_busy_port_is_named_at_once(taken: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(Problem) as caught:
        check_free({"prometheus": taken, "exporter": other.getsockname()[1]})
    assert len(str(caught.value).splitlines()) == 2


def test_a_closed_port_is_free_again(taken: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            server, _ = listener.accept()
            server.close()  # leaves a connection in TIME_WAIT, which is in nobody's way
            assert client.recv(1) == b""
    check_free({"exporter": port})
    assert list(holders(port)) == []
