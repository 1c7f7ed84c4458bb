"""When a client goes on without a WebSocket, and what a hostile server can do to it then."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from fake_http import SESSION, STREAM_HEAD, Asked, FakeHttp, answer_of, event_of, fake_http, welcome

from arqonbus import ArqonBusClient, ArqonBusError, AuthenticationError, ConnectError, ConnectionClosed, Endpoint
from arqonbus.event_stream import EventStream
from arqonbus.fallback import Opener
from arqonbus.server_events import EventTooLong, ServerEvent, ServerEvents

Reply = Callable[[Asked, asyncio.StreamWriter], Awaitable[bool | None]]
ACCEPTED = answer_of("202 Accepted", {"accepted": 1})


def bus_of(
    upgrade: bytes = answer_of("403 Forbidden"), stream: bytes = STREAM_HEAD, post: bytes = ACCEPTED, **limits: int
) -> Reply:
    """A bus that answers upgrades, the stream (with a welcome, if it is one) and posts as given."""

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> bool | None:
        if asked.headers.get("upgrade") == "websocket":
            writer.write(upgrade)
            return True
        if asked.method == "GET":
            writer.write(stream + (event_of(welcome(**limits)) if stream == STREAM_HEAD else b""))
            return stream != STREAM_HEAD
        writer.write(post)
        return None

    return answer


def upgrades(site: FakeHttp) -> int:
    return sum("upgrade" in asked.headers for asked in site.asked)


def streams(site: FakeHttp) -> list[Asked]:
    return [asked for asked in site.asked if asked.target.startswith("/v1/stream")]


def posted(site: FakeHttp) -> list[bytes]:
    return [asked.body for asked in site.asked if asked.method == "POST"]


@pytest.mark.parametrize("status", [400, 403, 404, 405, 426, 500, 501, 502])
async def test_a_status_that_a_proxy_may_have_said_leads_to_the_stream(status: int) -> None:
    async with fake_http(bus_of(answer_of(f"{status} No"))) as site:
        line, text = await Opener().open(Endpoint(site.socket_url, query={"screen_name": "Ada"}))
        assert json.loads(text)["payload"]["session"] == SESSION
        assert upgrades(site) == 2 and len(streams(site)) == 1
        assert streams(site)[0].target == "/v1/stream?screen_name=Ada"
        await line.close()
    assert [asked.method for asked in site.asked][-1] == "DELETE"
    assert site.asked[-1].target == f"/v1/sessions/{SESSION}"


@pytest.mark.parametrize("status", [301, 302, 307, 401, 429, 503])
async def test_statuses_that_say_nothing_about_upgrades_do_not(status: int) -> None:
    async with fake_http(bus_of(answer_of(f"{status} No", None, "Location: http://127.0.0.1:1/\r\n"))) as site:
        with pytest.raises(ConnectError) as raised:
            await Opener().open(Endpoint(site.socket_url, token="secret"))
        assert raised.value.status == status and upgrades(site) == 1 and streams(site) == []


async def test_what_the_bus_itself_refuses_is_refused_at_once() -> None:
    refused = answer_of("403 Forbidden", {"error": "This origin may not.", "error_code": "AUTHORIZATION_FAILED"})
    async with fake_http(bus_of(refused)) as site:
        with pytest.raises(ConnectError, match="AUTHORIZATION_FAILED"):
            await Opener().open(Endpoint(site.socket_url))
        assert upgrades(site) == 1 and streams(site) == []


@pytest.mark.parametrize("address", ["ws://127.0.0.1:1", "ws://localhost:1", "ws://no-such-host.invalid"])
async def test_where_no_line_is_no_other_way_is_tried(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> EventStream:
        raise AssertionError("a stream was asked for")

    monkeypatch.setattr(EventStream, "open", never)
    with pytest.raises(ConnectError) as raised:
        await Opener().open(Endpoint(address, timeout=8))
    assert raised.value.retryable


async def test_what_the_bus_says_about_the_stream_is_the_answer_and_what_a_proxy_says_is_not() -> None:
    told = answer_of("403 Forbidden", {"error": "No.", "error_code": "AUTHORIZATION_FAILED"})
    for stream, code in ((told, "AUTHORIZATION_FAILED"), (answer_of("404 Not Found"), "CONNECTION_FAILED")):
        async with fake_http(bus_of(answer_of("405 No"), stream)) as site:
            with pytest.raises(ConnectError) as raised:
                await Opener().open(Endpoint(site.socket_url))
            assert raised.value.code == code
            assert raised.value.status == (403 if code == "AUTHORIZATION_FAILED" else 405)
    denied = answer_of("401 Unauthorized", {"error": "No.", "error_code": "AUTHENTICATION_FAILED"})
    async with fake_http(bus_of(stream=denied)) as site:
        with pytest.raises(AuthenticationError):
            await Opener().open(Endpoint(site.socket_url))


async def test_a_redirect_of_the_stream_is_not_followed() -> None:
    async with fake_http(bus_of()) as elsewhere:
        moved = answer_of("302 Found", None, f"Location: {elsewhere.url}/v1/stream\r\n")
        async with fake_http(bus_of(stream=moved)) as site:
            with pytest.raises(ConnectError) as raised:
                await Opener().open(Endpoint(site.socket_url, token="secret"))
            assert raised.value.status == 403 and elsewhere.asked == []


@pytest.mark.parametrize("http", ["ws://127.0.0.1", "127.0.0.1", "http://", "", "http://h:port"])
def test_an_address_that_is_none_is_refused_before_anything_is_dialled(http: str) -> None:
    with pytest.raises(ArqonBusError, match="not an address of HTTP"):
        ArqonBusClient(http=http)


@pytest.mark.parametrize(
    "stream, said",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", "text/html"),
        (b"HTTP/1.1 200 OK\r\n\r\ndata: {}\n\n", "something"),
        (b"HTTP/1.1 200 O", "ended before"),
        (STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nA: " + b"a" * 70_000 + b"\r\n\r\n"), "longer than 65536"),
        (answer_of("204 No Content"), "HTTP 204"),
    ],
)
async def test_what_is_no_stream_is_refused(stream: bytes, said: str) -> None:
    async with fake_http(bus_of(stream=stream)) as site:
        with pytest.raises(ConnectError, match=said):
            await EventStream.open(Endpoint(site.socket_url))


async def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    async def silent(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with fake_http(silent) as site:
        with pytest.raises(ConnectError, match="did not answer within"):
            await EventStream.open(Endpoint(site.socket_url, timeout=0.1))


@pytest.mark.parametrize(
    "first, said",
    [
        (b"data: no json\n\n", "names its session"),
        (event_of({"payload": {"event": "welcome"}}), "names its session"),
        (event_of({"payload": {"session": "x" * 300}}), "names its session"),
        (b"data: [[[[\n\n", "names its session"),
        (b": only a comment\n\n", "the stream ended"),
        (event_of({"code": 4403, "reason": "go away"}, "close"), "4403: go away"),
        (b"event: close\ndata: nonsense\n\n", "1001"),
    ],
)
async def test_a_stream_that_begins_with_no_welcome_has_ended(first: bytes, said: str) -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        writer.write(STREAM_HEAD + first)
        await writer.drain()
        return True

    async with fake_http(answer) as site:
        stream = await EventStream.open(Endpoint(site.socket_url))
        with pytest.raises(ConnectionClosed, match=said):
            await asyncio.wait_for(stream.receive_text(), 10)
        with pytest.raises(ConnectionClosed):
            await stream.send_text("{}")
        await stream.close()


async def opened(site: FakeHttp, **options: object) -> EventStream:
    stream = await EventStream.open(Endpoint(site.socket_url, **options))  # type: ignore[arg-type]
    await asyncio.wait_for(stream.receive_text(), 10)
    return stream


async def test_what_waits_is_posted_together_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arqonbus.session_posts._IDLE", 60)
    gate = asyncio.Event()

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> bool | None:
        if asked.method == "POST":
            await gate.wait()
        return await bus_of()(asked, writer)

    async with fake_http(answer) as site:
        stream = await opened(site)
        await stream.send_text('{"n":0}')
        await site.until(lambda: len(posted(site)) == 1)
        for n in range(1, 1_001):
            await stream.send_text(f'{{"n":{n}}}')
        gate.set()
        await stream.close()
        bodies = [json.loads(body) for body in posted(site)]
    assert [len(body) if isinstance(body, list) else 1 for body in bodies] == [1, 500, 500]
    assert [frame["n"] for body in bodies[1:] for frame in body] == list(range(1, 1_001))
    # The stream, and one connection for all posts.
    assert site.connections == 2


async def test_no_post_is_larger_than_the_server_takes() -> None:
    async with fake_http(bus_of(max_message_bytes=100)) as site:
        stream = await opened(site)
        for n in range(40):
            await stream.send_text(json.dumps({"n": n}))
        await stream.close()
        assert all(len(body) <= 100 for body in posted(site))
        assert sum(body.count(b"{") for body in posted(site)) == 40


async def deaf_to_posts(asked: Asked, writer: asyncio.StreamWriter) -> bool | None:
    """A bus that never answers what is posted to it."""
    if asked.method == "POST":
        await asyncio.Event().wait()
    return await bus_of()(asked, writer)


async def test_what_may_wait_is_bounded_and_an_end_frees_whoever_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arqonbus.session_posts.HIGH_WATER_BYTES", 1_000)

    async with fake_http(deaf_to_posts) as site:
        stream = await opened(site)
        await stream.send_text(json.dumps("x" * 2_000))
        waiting = asyncio.ensure_future(stream.send_text("{}"))
        await site.until(lambda: len(posted(site)) == 1)
        assert not waiting.done()
        stream.abort()
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(waiting, 10)


@pytest.mark.parametrize(
    "post, code",
    [
        (answer_of("413 Content Too Large", {"error": "Too large."}), 1009),
        (answer_of("404 Not Found", {"error": "No such session."}), 1006),
        (answer_of("307 Moved", None, "Location: http://127.0.0.1:1/\r\n"), 1006),
        (b"HTTP/1.1 202 Accepted\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 100_000, 1006),
        (b"nonsense\r\n\r\n", 1006),
    ],
)
async def test_a_post_that_fails_ends_the_line(post: bytes, code: int) -> None:
    async with fake_http(bus_of(post=post)) as site:
        stream = await opened(site)
        await stream.send_text("{}")
        with pytest.raises(ConnectionClosed) as raised:
            await asyncio.wait_for(stream.receive_text(), 10)
        assert raised.value.close_code == code and len(posted(site)) == 1


async def test_a_post_that_is_not_answered_ends_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arqonbus.session_posts._POST_TIME", 0.1)

    async with fake_http(deaf_to_posts) as site:
        stream = await opened(site)
        await stream.send_text("{}")
        with pytest.raises(ConnectionClosed, match="not answered in time"):
            await asyncio.wait_for(stream.receive_text(), 10)


async def test_a_post_is_made_again_when_the_server_asks_to_wait() -> None:
    waits = [{"retry_after_ms": 1}, {"retry_after_ms": True}, {}]

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> bool | None:
        if asked.method == "POST" and waits:
            writer.write(answer_of("429 Too Many", {"details": waits.pop(0)}))
            return None
        return await bus_of()(asked, writer)

    async with fake_http(answer) as site:
        stream = await opened(site)
        await stream.send_text('{"n":1}')
        await site.until(lambda: len(posted(site)) == 4)
        await stream.close()
    assert posted(site) == [b'{"n":1}'] * 4


async def test_the_token_goes_with_each_request_and_a_renewed_one_takes_its_place() -> None:
    async with fake_http(bus_of()) as site:
        stream = await opened(site, token="one", headers={"X-Own": "1", "authorization": "Basic x"})
        await stream.send_text('{"command":"refresh_token","args":{"token":"two"}}')
        await stream.send_text('{"n":1}')
        await stream.close()
    assert [(asked.method, asked.headers["authorization"]) for asked in site.asked] == [
        ("GET", "Bearer one"),
        ("POST", "Bearer one"),
        ("POST", "Bearer two"),
        ("DELETE", "Bearer two"),
    ]
    assert all(asked.headers["x-own"] == "1" for asked in site.asked)


async def test_a_connection_that_was_idle_for_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arqonbus.session_posts._IDLE", 0)
    async with fake_http(bus_of()) as site:
        stream = await opened(site)
        for n in range(3):
            await stream.send_text("{}")
            await site.until(lambda n=n: len(posted(site)) == n + 1)  # type: ignore[misc]
        await stream.close()
        assert site.connections == 1 + 3 + 1


async def test_a_token_that_would_end_its_line_is_refused() -> None:
    async with fake_http(bus_of()) as site:
        stream = await opened(site)
        await stream.send_text('{"command":"refresh_token","args":{"token":"a\\r\\nX: y"}}')
        await stream.send_text("{}")
        with pytest.raises(ConnectionClosed, match="Authorization"):
            await asyncio.wait_for(stream.receive_text(), 10)
        assert len(posted(site)) == 1
    async with fake_http(bus_of()) as site:
        with pytest.raises(ArqonBusError, match="Authorization"):
            await EventStream.open(Endpoint(site.socket_url, token="a\r\nX: y"))
        assert site.asked == []


async def test_a_reading_that_was_cancelled_loses_nothing() -> None:
    writers: list[asyncio.StreamWriter] = []

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await bus_of()(asked, writer)

    async with fake_http(answer) as site:
        stream = await opened(site)
        writers[0].write(b'data: {"n"')
        with pytest.raises((TimeoutError, asyncio.TimeoutError)):
            await asyncio.wait_for(stream.receive_text(), 0.05)
        writers[0].write(b":1}\n\n")
        assert await asyncio.wait_for(stream.receive_text(), 10) == '{"n":1}'
        stream.abort()


async def test_a_stream_that_falls_silent_is_found_out_by_a_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arqonbus.link._GRACE", 0.05)
    monkeypatch.setattr("arqonbus.link._PROBE_TIME", 0.5)
    async with fake_http(bus_of(ping_interval_ms=50)) as site:
        client = ArqonBusClient(site.socket_url, reconnect=None)
        lost = asyncio.Event()
        client.on("state", lambda state: lost.set() if state == "closed" else None)
        await client.connect()
        await asyncio.wait_for(lost.wait(), 10)
        assert b'"command": "ping"' in posted(site)[0]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that nobody knows, and its key."""
    if shutil.which("openssl") is None:
        if os.environ.get("CI") == "true":
            raise RuntimeError("openssl is missing, and CI must test TLS")
        pytest.skip("SKIPPED WITHOUT openssl")
    folder = tmp_path_factory.mktemp("tls")
    pem, key = folder / "cert.pem", folder / "key.pem"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1"
    command = ["openssl", *words.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key)]
    subprocess.run([*command, "-out", str(pem)], check=True, capture_output=True)
    return pem, key


async def test_tls_is_verified_as_the_client_is_told(certificate: tuple[Path, Path]) -> None:
    pem, key = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    async with fake_http(bus_of(), context) as site:
        with pytest.raises(ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await EventStream.open(Endpoint(site.socket_url, token="secret"))
        # Neither is the stream tried when the WebSocket finds that out.
        with pytest.raises(ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await Opener().open(Endpoint(site.socket_url, token="secret"))
        assert site.asked == []
        trusting = ssl.create_default_context(cafile=str(pem))
        line, _ = await Opener().open(Endpoint(site.socket_url, ssl=trusting))
        await line.send_text("{}")
        await line.close()
        assert upgrades(site) == 2 and posted(site) == [b"{}"]


def test_events_come_in_any_pieces() -> None:
    text = b'retry: 1\nid: 1\ndata: {"a"\r\ndata: :1}\r\n\r\n:\n\nevent: close\ndata:{}\n\nevent: empty\n\ndata: 2\n\n'
    whole = [ServerEvent("", '{"a"\n:1}'), ServerEvent("close", "{}"), ServerEvent("", "2")]
    assert ServerEvents().feed(text) == whole
    reader = ServerEvents()
    assert [event for at in range(len(text)) for event in reader.feed(text[at : at + 1])] == whole
    assert reader.waiting_bytes == 0


@pytest.mark.parametrize("part", [b"data: " + b"x" * 100, b"x" * 100, b"data: x\n" * 20, b"data:\n" * 20])
def test_an_event_without_end_is_given_up(part: bytes) -> None:
    reader = ServerEvents(most=5_000)
    with pytest.raises(EventTooLong):
        for _ in range(100):
            reader.feed(part)
