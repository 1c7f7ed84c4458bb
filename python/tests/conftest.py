from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
from fake_bus import FakeBus
from server import RunningServer, ServerMissing, running_server

import arqonbus.link
from arqonbus import ArqonBusClient


@pytest.fixture
async def bus() -> AsyncIterator[FakeBus]:
    async with FakeBus().running() as running:
        yield running


@pytest.fixture
async def client(bus: FakeBus) -> AsyncIterator[ArqonBusClient]:
    async with ArqonBusClient(bus.url, request_timeout=5) as connected:
        yield connected


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waiting times before reconnects, which are noted instead of waited for."""
    taken: list[float] = []

    async def pause(seconds: float) -> None:
        taken.append(seconds)

    monkeypatch.setattr(arqonbus.link, "pause", pause)
    return taken


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """One real server for all tests that share it; each uses rooms of its own."""
    try:
        with running_server() as running:
            yield running
    except ServerMissing as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"SKIPPED WITHOUT THE REAL SERVER: {missing}")


@pytest.fixture(scope="session")
def conformance_url(request: pytest.FixtureRequest) -> str:
    given = os.environ.get("ARQONBUS_CONFORMANCE_URL")
    if given:
        return given
    running: RunningServer = request.getfixturevalue("server")
    return running.url


@pytest.fixture
async def other(server: RunningServer) -> AsyncIterator[ArqonBusClient]:
    """Somebody else on the real server."""
    async with ArqonBusClient(server.url, client_type="ai-agent", screen_name="Other") as connected:
        yield connected


@pytest.fixture
def room() -> str:
    """A room of the real server that no other test uses."""
    return f"py-{secrets.token_hex(6)}"
