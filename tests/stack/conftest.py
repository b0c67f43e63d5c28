"""Fixtures: one stack that runs for all tests which only look at it, and a webhook that it sends alerts to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from live_stack import ROOT, LiveStack, Webhook

# The runner of the stack is no installed package: it works from the clone.
sys.path.insert(0, str(ROOT))


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    """Prometheus and Alertmanager, once for all tests: LiveStack has this clone's on its PATH."""
    from stack import layout, tools

    tools.ensure(layout.Layout.of({}), os.environ, print)


@pytest.fixture(scope="session")
def hook() -> Iterator[Webhook]:
    webhook = Webhook()
    yield webhook
    webhook.close()


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory, hook: Webhook) -> Iterator[LiveStack]:
    """Started by `make up`, with the webhook as receiver. Not to be ended by a test."""
    stack = LiveStack(tmp_path_factory.mktemp("live") / "state")
    stack.up(HEADWAY_WEBHOOK_URL=hook.url)
    yield stack
    stack.down()


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LiveStack]:
    """Not started yet; ended after the test whatever became of it."""
    own = LiveStack(tmp_path / "state")
    yield own
    own.make("down")
