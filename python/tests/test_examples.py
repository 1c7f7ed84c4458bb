"""The examples, run as a newcomer runs them."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from server import REPOSITORY, RunningServer

from arqonbus import ArqonBusClient

pytestmark = pytest.mark.server

BOT = REPOSITORY / "examples" / "python" / "hello_world_bot.py"


@asynccontextmanager
async def bot(url: str, address: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {**os.environ, "ARQONBUS_WS_URL": url, "ARQONBUS_BOT_ADDRESS": address}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(BOT),
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # Whoever runs the tests in the background may have them ignore Ctrl-C, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until_listening(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    while b"listening" not in (line := await asyncio.wait_for(process.stdout.readline(), 30)):
        assert line, "the bot ended"


async def test_the_bot_greets_answers_once_and_ends(server: RunningServer) -> None:
    address = f"py-{secrets.token_hex(6)}:x"
    async with bot(server.url, address, "--once") as process:
        await until_listening(process)
        async with ArqonBusClient(server.url, screen_name="Ada") as client, client.subscribe(address) as messages:
            assert (await messages.receive(timeout=30))["payload"]["text"] == "Welcome, Ada!"
            ack = await client.publish(address, {"text": "good day"})
            answer = await messages.receive(timeout=30)
            assert answer["payload"] == {"text": "You said: good day", "in_reply_to": ack.id}
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def test_the_bot_ends_quietly_on_ctrl_c(server: RunningServer) -> None:
    async with bot(server.url, f"py-{secrets.token_hex(6)}:x") as process:
        await until_listening(process)
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 30) == 0
        assert process.stderr is not None
        assert await process.stderr.read() == b""


async def test_the_bot_says_what_to_do_without_a_bus() -> None:
    async with bot("ws://127.0.0.1:1", "a:b") as process:
        assert await asyncio.wait_for(process.wait(), 30) == 1
        assert process.stderr is not None
        assert b"ARQONBUS_WS_URL" in await process.stderr.read()
