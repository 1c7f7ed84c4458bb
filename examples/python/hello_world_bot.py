"""A bot that greets new members of its channel, and answers messages.

    pip install ./python
    python examples/python/hello_world_bot.py

Ctrl-C ends it. ARQONBUS_WS_URL says where the bus is (ws://127.0.0.1:9100), ARQONBUS_TOKEN holds a token for a bus that
wants one, and ARQONBUS_BOT_ADDRESS names the channel (science:general). With --once it ends after its first answer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys

from arqonbus import ArqonBusClient, ArqonBusError, Envelope, Reset

URL = os.environ.get("ARQONBUS_WS_URL", "ws://127.0.0.1:9100")
ADDRESS = os.environ.get("ARQONBUS_BOT_ADDRESS", "science:general")


async def run(once: bool) -> None:
    bot = ArqonBusClient(
        URL,
        token=os.environ.get("ARQONBUS_TOKEN"),
        client_type="ai-agent",
        screen_name="HelloBot",
        personality="friendly",
    )
    async with bot:
        welcome = await bot.recv_json(timeout=5.0)
        print(f"connected to {URL} as {welcome['payload']['client_id']}", flush=True)
        async with bot.subscribe(ADDRESS, presence=True, on_reset=tell_of_loss) as messages:
            await bot.publish(ADDRESS, {"text": "Hello, I am HelloBot. Say something!"})
            print(f"listening on {ADDRESS}", flush=True)
            async for message in messages:
                if await react(bot, message) and once:
                    return


async def react(bot: ArqonBusClient, message: Envelope) -> bool:
    """Greets a new member or answers an event. True if there was something to answer."""
    payload = message["payload"]
    if message["type"] == "system":
        if payload["event"] == "presence":
            for member in payload["joined"]:
                if member["client_id"] != bot.id:
                    name = member["sender"].get("name", member["client_id"])
                    await bot.publish(ADDRESS, {"text": f"Welcome, {name}!"})
        return False
    text = payload.get("text")
    # Do not answer answers, because two bots would never stop.
    if not isinstance(text, str) or "in_reply_to" in payload:
        return False
    print(f"{message['from']}: {text}", flush=True)
    await bot.publish(ADDRESS, {"text": f"You said: {text}", "in_reply_to": message["id"]})
    return True


def tell_of_loss(reset: Reset) -> None:
    print(f"{reset} Going on from here.", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description="Greets and answers on an ArqonBus channel.")
    parser.add_argument("--once", action="store_true", help="end after the first answer")
    once: bool = parser.parse_args().once
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(run(once))
    except ArqonBusError as error:
        print(f"{error}\nIs the bus running, and is ARQONBUS_WS_URL right?", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
