"""The conformance suite, over this client's connections, against the real server or ``ARQONBUS_CONFORMANCE_URL``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conformance_runner import run_scenario, run_vector

from arqonbus.event_stream import EventStream

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


#: What a stream cannot do: it joins what it begins with by a command, what is no JSON object is no post, and it selects
#: no subprotocol. A bound of a thousand joins is the server's alone.
NOT_OF_STREAMS = {"initial-membership", "violations", "subprotocol", "subscriptions-limit"}


def test_there_are_the_scenarios_that_are_left_out() -> None:
    assert {scenario["name"] for scenario in load("scenarios")} >= NOT_OF_STREAMS


@pytest.mark.server
@pytest.mark.parametrize(
    "scenario",
    [pytest.param(each, id=each["name"]) for each in load("scenarios") if each["name"] not in NOT_OF_STREAMS],
)
async def test_scenario_over_an_event_stream(conformance_url: str, scenario: dict[str, Any]) -> None:
    await run_scenario(conformance_url, scenario, EventStream.open)
