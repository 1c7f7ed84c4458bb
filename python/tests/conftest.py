from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fake_bus import FakeBus

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
