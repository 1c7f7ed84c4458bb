"""Runs conformance vectors and scenarios (conformance/README.md) over the client's raw connections."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from conformance_pattern import Variables, fill, mismatch

from arqonbus import Connection, ConnectionClosed, Endpoint, Envelope
from arqonbus.connection import encode
from arqonbus.errors import ConnectError
from arqonbus.line import Line

Step = dict[str, Any]
#: How a peer connects: with a WebSocket, or with what takes its place.
Open = Callable[[Endpoint], Awaitable[Line]]

#: How long anything may take, in seconds.
PATIENCE = 5.0
#: What every refusal of a frame has in common.
_REFUSAL: dict[str, Any] = {
    "type": "error",
    "version": "1.0",
    "id": {"$regex": "arq_[A-Za-z0-9_-]{1,124}"},
    "from": "arqonbus",
    "timestamp": {"$type": "string"},
    "error": {"$type": "string"},
}


async def run_vector(url: str, vector: dict[str, Any]) -> None:
    """Runs a vector against the bus at ``url``. Raises ``AssertionError``, saying what differs."""
    steps = [{"connect": "client"}, *vector.get("setup", []), *_steps_of(vector), {"fence": "client"}]
    await run_scenario(url, {"name": vector["name"], "steps": steps})


def _steps_of(vector: dict[str, Any]) -> list[Step]:
    if "command" in vector:
        more = {key: vector[key] for key in ("args", "error", "payload") if key in vector}
        return [{"command": "client", "name": vector["command"], **more}]
    sent: Step = {"send": "client"}
    sent.update({{"send": "frame"}.get(key, key): vector[key] for key in ("send", "text", "bytes") if key in vector})
    if "refused" in vector:
        request_id = vector.get("request_id", {"$absent": True})
        answered = {"error_code": vector["refused"], "request_id": request_id, "payload": vector.get("payload", {})}
        return [sent, {"expect": "client", "frame": {**_REFUSAL, **answered}}]
    expected = vector["expect"]
    answers = [] if expected is None else expected if isinstance(expected, list) else [expected]
    return [sent, *({"expect": "client", "frame": answer} for answer in answers)]


async def run_scenario(url: str, scenario: dict[str, Any], connect: Open = Connection.open) -> None:
    """Runs a scenario against the bus at ``url``. Raises ``AssertionError``, naming the step and what differs."""
    run = _Run(url, connect)
    try:
        await run.steps(scenario["steps"], scenario["name"])
    finally:
        await asyncio.gather(*(peer.close() for peer in run.peers.values()))


class _Run:
    def __init__(self, url: str, connect: Open):
        self.peers: dict[str, Line] = {}
        self._url = url
        self._open = connect
        self._variables: Variables = {"run": f"c{secrets.token_hex(6)}"}
        self._count = 0

    async def steps(self, steps: list[Step], at: str) -> None:
        for number, step in enumerate(steps, 1):
            place = f"{at}, step {number}"
            if "repeat" in step:
                for index in range(step["repeat"]):
                    self._variables["index"] = index
                    await self.steps(step["steps"], f"{place}, round {index + 1}")
                continue
            verb = next(verb for verb in self._VERBS if verb in step)
            try:
                await self._VERBS[verb](self, step[verb], step)
            except (AssertionError, ConnectionClosed, ConnectError, KeyError) as error:
                raise AssertionError(f"{place} {json.dumps(step)[:300]}: {error!r}") from error

    async def _connect(self, name: str, step: Step) -> None:
        endpoint = Endpoint(
            self._url,
            query=self._fill(step.get("query", {})),
            headers=self._fill(step.get("headers", {})),
            subprotocols=tuple(step.get("subprotocols", ())),
            timeout=PATIENCE,
        )
        if "refused" in step:
            try:
                connection = await self._open(endpoint)
            except ConnectError as error:
                assert error.details.get("status") == step["refused"], f"the handshake ended with {error}"
                return
            await connection.close()
            raise AssertionError("the handshake was not refused")
        peer = self.peers[name] = await self._open(endpoint)
        if "selected" in step:
            assert isinstance(peer, Connection), "only a WebSocket has a subprotocol"
            assert peer.subprotocol == step["selected"], f"the subprotocol is {peer.subprotocol!r}"
        welcome = await self._next(name)
        self._match({"type": "system", "payload": {"event": "welcome", "client_id": {"$capture": name}}}, welcome)
        self._match(step.get("welcome", {}), welcome)

    async def _send(self, name: str, step: Step) -> None:
        if "bytes" in step:
            peer = self.peers[name]
            assert isinstance(peer, Connection), "only a WebSocket has binary frames"
            await peer.send_bytes(base64.b64decode(step["bytes"]))
        elif "text" in step:
            await self.peers[name].send_text(self._fill(step["text"]))
        else:
            await self._tell(name, self._fill(step["frame"]))

    async def _command(self, name: str, step: Step) -> None:
        id = self._new_id()
        frame = {"version": "1.0", "id": id, "type": "command", "command": step["name"], "args": step.get("args", {})}
        await self._tell(name, self._fill(frame))
        pattern: dict[str, Any] = {"type": "command_response", "request_id": id, "from": "arqonbus"}
        pattern.update({"command": step["name"], "payload": step.get("payload", {}), "status": "success"})
        if "error" in step:
            pattern.update({"status": "error", "error_code": step["error"], "error": {"$type": "string"}})
        self._match(pattern, await self._next(name))

    async def _expect(self, name: str, step: Step) -> None:
        if "frame" in step:
            self._match(step["frame"], await self._next(name))
            return
        patterns = list(step["frames"])
        while patterns:
            frame = await self._next(name)
            faults = [self._compare(pattern, frame) for pattern in patterns]
            assert None in faults, f"{frame} is none of those expected: {'; '.join(map(str, faults))}"
            del patterns[faults.index(None)]

    async def _await(self, name: str, step: Step) -> None:
        while self._compare(step["frame"], await self._next(name)) is not None:
            pass

    async def _fence(self, name: str, step: Step) -> None:
        id = self._new_id()
        await self._tell(name, {"version": "1.0", "id": id, "type": "command", "command": "ping", "args": {}})
        self._match({"type": "command_response", "request_id": id}, await self._next(name))

    async def _close(self, name: str, step: Step) -> None:
        await self.peers[name].close()

    async def _expect_close(self, name: str, step: Step) -> None:
        try:
            frame = await self._next(name)
        except ConnectionClosed as closed:
            assert closed.close_code == step["code"], f"closed with {closed.close_code}"
            return
        raise AssertionError(f"a frame came instead of the end: {frame}")

    _VERBS = {  # noqa: RUF012 (never changed)
        "connect": _connect,
        "send": _send,
        "command": _command,
        "expect": _expect,
        "await": _await,
        "fence": _fence,
        "close": _close,
        "expectClose": _expect_close,
    }

    async def _tell(self, name: str, frame: dict[str, Any]) -> None:
        await self.peers[name].send_text(encode(frame))

    async def _next(self, name: str) -> Any:
        try:
            return Envelope(json.loads(await asyncio.wait_for(self.peers[name].receive_text(), PATIENCE)))
        except (TimeoutError, asyncio.TimeoutError):
            raise AssertionError(f"nothing came within {PATIENCE:g} s") from None

    def _match(self, pattern: Any, actual: Any) -> None:
        fault = self._compare(pattern, actual)
        assert fault is None, f"{fault}, in {json.dumps(actual)[:1000]}"

    def _compare(self, pattern: Any, actual: Any) -> str | None:
        captured: Variables = {}
        fault = mismatch(self._fill(pattern), actual, captured)
        if fault is None:
            self._variables.update(captured)
        return fault

    def _fill(self, value: Any) -> Any:
        return fill(value, self._variables)

    def _new_id(self) -> str:
        self._count += 1
        return f"arq_{self._variables['run']}_{self._count}"
