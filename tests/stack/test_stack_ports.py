"""Ports: which they are, and who is in the way."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack.ports import DEFAULTS, Ports, check_free, holders, remembered
from stack.problem import Problem

from live_stack import ROOT


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


def test_ports_are_remembered_until_they_are_given_anew(tmp_path: Path) -> None:
    path = tmp_path / "state/ports.txt"
    assert remembered(path) == {}
    Ports.of({"EXPORTER_PORT": "25323", "GRAFANA_PORT": "3001"}).remember(path)
    kept = remembered(path)
    assert kept == {"exporter": 25323, "grafana": 3001}
    assert Ports.of({}, {}, kept) == Ports(25323, 9090, 9093, 3001)
    assert Ports.of({"EXPORTER_PORT": "25324", "GRAFANA_PORT": ""}, {}, kept) == Ports(25324, 9090, 9093, 3000), "empty forgets"
    assert Ports.of({}, {"exporter": 25325}, kept).exporter == 25325, "what runs has its own"
    Ports.of({}).remember(path)
    assert remembered(path) == {}
    path.write_text("exporter x\nnope 1\nprometheus 19090\n\n")
    assert remembered(path) == {"prometheus": 19090}


def test_make_help_fits_a_terminal() -> None:
    said = subprocess.run(("make", "--no-print-directory", "help"), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "make up " in said and max(map(len, said.splitlines())) <= 80


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
