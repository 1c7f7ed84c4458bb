"""A worker of the team, in Python: takes experiments as a member of a group, and publishes the results.

    pip install ./python
    python examples/agents/worker.py grace GROUP

It ends with its input (Ctrl-D). ARQONBUS_WS_URL says where the bus is (ws://127.0.0.1:9100). worker.ts is the same in
TypeScript.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys

from arqonbus import ArqonBusClient, JsonObject

URL = os.environ.get("ARQONBUS_WS_URL", "ws://127.0.0.1:9100")
#: Longer than any experiment, in seconds. A worker that is busy for longer is shown as lapsed.
BUSY_SECONDS = 1
CARD: JsonObject = {
    "description": "Makes doughs.",
    "skills": [{"id": "experiment", "name": "experiment", "tags": ["science"]}],
}


async def model(experiment: JsonObject) -> bool:
    """Replaces a language model; call your own model instead."""
    return bool(experiment["yeast"] and experiment["sugar"] and experiment["warm"])


async def work(name: str, group: str) -> None:
    async with ArqonBusClient(URL, subject=name, screen_name=name, client_type="ai-agent") as client:
        await client.identify(card=CARD, state="idle", note="Python")
        await client.join("science:general")
        # One experiment at a time. If this worker dies, its experiment goes to another one.
        async with client.subscribe("science:execute", group=group, prefetch=1) as tasks:
            async for task in tasks:
                experiment = task["payload"]
                note = f"experiment {experiment['number']}"
                await client.identify(state="busy", note=note, ttl_seconds=BUSY_SECONDS)
                result = {**experiment, "rises": await model(experiment), "by": name, "attempt": task.attempt}
                # Publish before the acknowledgement: an experiment may run twice, but none is lost.
                await client.publish("science:interpret", result, metadata={"causal_parent_id": task["id"]})
                await client.identify(state="idle", note="Python")


async def main() -> None:
    _, name, group = sys.argv
    working = asyncio.create_task(work(name, group))
    ended = asyncio.create_task(end_of_input())
    await asyncio.wait([working, ended], return_when=asyncio.FIRST_COMPLETED)
    ended.cancel()
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def end_of_input() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(1024):
        pass


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
