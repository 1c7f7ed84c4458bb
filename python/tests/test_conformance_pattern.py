"""The runner's matcher against the table that every runner shares: a suite that cannot fail proves nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conformance_pattern import fill, mismatch
from conformance_runner import run_scenario
from fake_bus import FakeBus

TABLE = json.loads((Path(__file__).resolve().parents[2] / "conformance" / "patterns.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", TABLE["fill"], ids=json.dumps)
def test_fill(case: dict[str, Any]) -> None:
    assert fill(case["value"], TABLE["variables"]) == case["filled"]


@pytest.mark.parametrize("case", TABLE["match"], ids=json.dumps)
def test_match(case: dict[str, Any]) -> None:
    captured: dict[str, Any] = {}
    fault = mismatch(case["pattern"], case["value"], captured)
    assert (fault is None) == case["matches"], fault
    if case["matches"]:
        assert captured == case.get("captured", {})


def test_a_variable_that_is_not_set_is_a_fault() -> None:
    with pytest.raises(KeyError):
        fill("${nothing}", {})


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ({"command": "a", "name": "ping", "payload": {"no": 1}}, "at .payload.no"),
        ({"command": "a", "name": "ping", "error": "NOT_FOUND"}, "at .status"),
        ({"expectClose": "a", "code": 1000}, "a frame came instead of the end"),
        ({"expect": "a", "frames": [{"type": "event"}]}, "none of those expected"),
        ({"fence": "a"}, "at .type"),
        ({"connect": "b", "selected": "other.v1"}, "the subprotocol is None"),
        ({"connect": "b", "refused": 403}, "was not refused"),
    ],
)
async def test_a_step_that_is_not_met_fails_and_is_named(bus: FakeBus, step: dict[str, Any], complaint: str) -> None:
    to_itself = {"send": "a", "frame": {"type": "private", "id": "arq_1", "to": "${a}", "payload": {}}}
    steps = [{"connect": "a"}, step] if "connect" in step or "command" in step else [{"connect": "a"}, to_itself, step]
    with pytest.raises(AssertionError, match="named, step") as raised:
        await run_scenario(bus.url, {"name": "named", "steps": steps})
    assert complaint in str(raised.value)
