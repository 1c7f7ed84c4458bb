"""Answers of HTTP, well-formed and not."""

from __future__ import annotations

import asyncio

import pytest
from fake_http import Asked, answer_of, fake_http

from arqonbus import ArqonBusError
from arqonbus.http1 import MAX_HEAD_BYTES, HttpLine, Response, Site
from arqonbus.http_body import HttpError


async def ask(answer: bytes, most: int = 1_000) -> tuple[Response, bytes]:
    """What a client reads of an answer after which the connection ends."""

    async def reply(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        writer.write(answer)
        await writer.drain()
        return True

    async with fake_http(reply) as site:
        line = await HttpLine.open(Site.of(site.url))
        try:
            response = await asyncio.wait_for(line.ask("GET", "/", {}), 10)
            return response, await asyncio.wait_for(response.whole(most), 10)
        finally:
            line.abort()


@pytest.mark.parametrize(
    "head, body",
    [
        (b"Content-Length: 5\r\n\r\n", b"hello"),
        (b"\r\n", b"hello"),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: t\r\n\r\n"),
    ],
    ids=["length", "until the end", "chunked"],
)
async def test_a_body_ends_where_its_head_says(head: bytes, body: bytes) -> None:
    response, read = await ask(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\n" + head + body)
    assert (response.status, read) == (200, b"hello")
    assert response.headers["x-a"] == "1, 2"


async def test_interim_answers_are_passed_over() -> None:
    response, read = await ask(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + answer_of("202 Accepted", {"n": 1}))
    assert (response.status, read) == (202, b'{"n": 1}')


async def test_chunks_come_in_any_pieces() -> None:
    body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 20 + b"0\r\n\r\n"

    async def reply(asked: Asked, writer: asyncio.StreamWriter) -> None:
        for at in range(len(body)):
            writer.write(body[at : at + 1])
            await asyncio.sleep(0)

    async with fake_http(reply) as site:
        line = await HttpLine.open(Site.of(site.url))
        for _ in range(2):
            response = await line.ask("GET", "/", {})
            assert await asyncio.wait_for(response.whole(100), 10) == b"a" * 20
            assert response.is_whole and line.is_open
        assert site.connections == 1
        line.abort()


@pytest.mark.parametrize(
    "answer, said",
    [
        (b"", "no answer"),
        (b"HTTP/1.1 200 O", "ended before"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "ended before"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "first line"),
        (b"HTTP/2 200 OK\r\n\r\n", "first line"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "first line"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\n folded: 1\r\n\r\n", "headers is none"),
        (b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", "headers is none"),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "headers is none"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "no number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "no number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "two ways"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "unknown one"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "compressed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello", "4 bytes too early"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"x" * 9_999, "larger than 1000"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 9_999, "larger than 1000"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n", "longer than 65536"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"a" * 2 * MAX_HEAD_BYTES, "longer than 65536"),
        (b"HTTP/1.1 103 Early\r\n\r\n" * 4_000, "longer than 65536"),
    ],
)
async def test_what_is_no_answer_of_http_is_refused(answer: bytes, said: str) -> None:
    with pytest.raises(HttpError, match=said):
        await ask(answer)


@pytest.mark.parametrize(
    "body, said",
    [
        (b"x\r\n", "no number"),
        (b"-1\r\n", "no number"),
        (b"\r\n", "no number"),
        (b"1\r\nab\r\n", "longer than it said"),
        (b"fffffffffffff\r\n", "no number"),
        (b"1" * 2_000, "longer than 1024"),
        (b"1;" + b"e" * 2_000, "longer than 1024"),
        (b"0\r\n" + b"A: b\r\n" * 4_000, "longer than 8192"),
        (b"5\r\nhel", "middle of its chunks"),
        (b"5\r\nhello\r\n", "middle of its chunks"),
        (b"7d0\r\n" + b"x" * 2_000 + b"\r\n0\r\n\r\n", "larger than 1000"),
    ],
)
async def test_chunks_that_are_none_are_refused(body: bytes, said: str) -> None:
    with pytest.raises(HttpError, match=said):
        await ask(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)


async def test_a_header_cannot_end_its_line() -> None:
    async def reply(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(answer_of("200 OK"))

    async with fake_http(reply) as site:
        line = await HttpLine.open(Site.of(site.url))
        for headers in ({"A": "b\r\nC: d"}, {"A\r\nC": "d"}, {"A": "ž"}, {"": "b"}):
            with pytest.raises(ArqonBusError, match="cannot be sent"):
                await line.ask("GET", "/", headers)
        # What the request says by itself is not the user's.
        response = await line.ask("POST", "/", {"content-length": "9", "Host": "elsewhere", "X": "1"}, b"{}")
        assert response.status == 200
        line.abort()
    (asked,) = site.asked
    assert asked.headers["host"] == site.url.removeprefix("http://") and asked.headers["x"] == "1"
    assert asked.body == b"{}"


def test_addresses() -> None:
    assert Site.of("ws://a.example/path?x=1") == Site("http", "a.example", 80, "")
    assert Site.of("wss://a.example").authority == "a.example"
    assert Site.of("https://a.example:8443/bus/") == Site("https", "a.example", 8443, "/bus")
    assert Site.of("http://[::1]:80/").authority == "[::1]"
    assert Site.of("ws://[::1]:9100").authority == "[::1]:9100"
    for address in ("", "a.example", "ftp://a.example", "http://", "http://a:x", "http://a/ž", "http://a/ b"):
        with pytest.raises(ValueError):
            Site.of(address)
