"""The conformance suite, over this client's connections, against the real server or ``ARQONBUS_CONFORMANCE_URL``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conformance_runner import run_scenario, run_vector

CONFORMANCE = Path(__file__).resolve().parents[2] / "conformance"


def load(folder: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((CONFORMANCE / folder).glob("*.json"))]


VECTORS = [
    pytest.param(vector, id=f"{file['name']}: {vector['name']}")
    for file in load("vectors")
    for vector in file["vectors"]
]
SCENARIOS = [pytest.param(scenario, id=scenario["name"]) for scenario in load("scenarios")]


@pytest.mark.server
@pytest.mark.parametrize("vector", VECTORS)
async def test_vector(conformance_url: str, vector: dict[str, Any]) -> None:
    await run_vector(conformance_url, vector)


@pytest.mark.server
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_scenario(conformance_url: str, scenario: dict[str, Any]) -> None:
    await run_scenario(conformance_url, scenario)
