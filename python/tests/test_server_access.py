"""Tokens and refusals: the client against the real server."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time

import pytest
from reading import numbers
from server import running_server

from arqonbus import (
    ArqonBusClient,
    AuthenticationError,
    BusError,
    ConnectError,
)

pytestmark = pytest.mark.server


async def test_tokens() -> None:
    secret = "s" * 32
    settings = {"ARQONBUS_ENABLE_AUTH": "true", "ARQONBUS_AUTH_JWT_SECRET": secret}
    with running_server(**settings) as server:
        with pytest.raises(AuthenticationError) as refused:
            await ArqonBusClient(server.url).connect()
        assert "missing token" in str(refused.value)
        with pytest.raises(AuthenticationError, match="token expired"):
            await ArqonBusClient(server.url, token=token(secret, -3600)).connect()
        lifetimes = iter((3, 3600))
        renewed = asyncio.Event()

        def provide() -> str:
            lifetime = next(lifetimes)
            if lifetime == 3600:
                renewed.set()
            return token(secret, lifetime, sub="ada")

        async with ArqonBusClient(server.url, token=provide) as client:
            # A token of a short life is renewed at half of it.
            await asyncio.wait_for(renewed.wait(), 10)
            await client.publish("science:explore", {"n": 1})
            async with (
                client.subscribe("science:explore") as subscription,
                ArqonBusClient(server.url, token=token(secret, 3600, sub="bob")) as bob,
            ):
                ack = await bob.send("sub:ada", {"hello": 1})
                assert ack.delivered == 1
                await bob.publish("science:explore", {"n": 2})
                assert await numbers(subscription, 1) == [2]
        reader = token(secret, 3600, sub="eve", role="guest")
        async with ArqonBusClient(server.url, token=reader) as guest:
            with pytest.raises(BusError) as raised:
                await guest.publish("science:explore", {})
            assert raised.value.code == "AUTHORIZATION_ERROR"


async def test_a_full_server_says_so() -> None:
    with running_server(ARQONBUS_MAX_CONNECTIONS="1") as server:
        async with ArqonBusClient(server.url):
            with pytest.raises(ConnectError) as raised:
                await ArqonBusClient(server.url).connect()
    assert raised.value.details["status"] == 503 and raised.value.retryable


def token(secret: str, lifetime: float, **claims: str) -> str:
    """An HS256 JWT that expires in ``lifetime`` seconds; here by hand, for want of a JWT package."""

    def part(value: bytes) -> bytes:
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    header = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    body = part(json.dumps({"exp": int(time.time() + lifetime), "role": "user", **claims}).encode())
    signature = part(hmac.new(secret.encode(), header + b"." + body, hashlib.sha256).digest())
    return b".".join((header, body, signature)).decode()
