# SPDX-License-Identifier: Apache-2.0
"""One GET from servers that answer well, badly, without end, or not at all: each costs a bounded time and memory."""

import asyncio
import gc
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config_values import PageUrl
from agent.system.http_client import Answer, Failed, Reason, Target, get

LIMIT = 1 << 16
PATIENT = 60.0
"""Seconds: far more than anything here takes."""
OK = b"HTTP/1.1 200 OK\r\n"
PAGE = b"vllm:num_requests_running 3\n"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[int]:
    """Answer every connection in this way, once its request has come."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort() if writer.transport.get_write_buffer_size() > LIMIT else writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def says(*pieces: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return serve


def fetch(serve: Serve, *, limit: int = LIMIT, timeout: float = PATIENT, partly: bool = False) -> Answer:
    async def run() -> Answer:
        async with serving(serve) as port:
            target = Target("127.0.0.1", port)
            return await get(target, "text/plain", limit=limit, timeout=timeout, partly=partly)

    return asyncio.run(run())


def failure(serve: Serve, *, limit: int = LIMIT, timeout: float = PATIENT) -> Reason:
    with pytest.raises(Failed) as error:
        fetch(serve, limit=limit, timeout=timeout)
    return error.value.reason


@pytest.mark.parametrize(
    "pieces",
    [
        (OK + b"Content-Length: 28\r\n\r\n", PAGE),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1c\r\n" + PAGE + b"\r\n", b"0\r\n\r\n"),
        (OK + b"\r\n", PAGE[:9], PAGE[9:]),
        (b"HTTP/1.0 200 OK\r\n\r\n" + PAGE,),
        (b"HTTP/1.1 100 Continue\r\n\r\n", OK + b"Content-Length: 28\r\n\r\n" + PAGE),
        (OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(PAGE),),
    ],
    ids=["of a known size", "in chunks", "until the end", "HTTP/1.0", "after a 100", "gzip"],
)
def test_a_page_comes_whole_in_every_form(pieces: tuple[bytes, ...]) -> None:
    assert fetch(says(*pieces)) == Answer(200, PAGE)


def test_what_is_sent_names_no_one_and_nothing_but_the_page() -> None:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK + b"Content-Length: 0\r\n\r\n")

    fetch(serve)
    first, *headers = heard[0].decode().split("\r\n")
    assert first == "GET /metrics HTTP/1.1"
    names = {header.partition(":")[0] for header in headers if header}
    assert names == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert fetch(says(OK + b"\r\n" + PAGE)).body == PAGE


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status} Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".encode())

    assert fetch(serve) == Answer(status, b"")
    assert asked == 1


def test_another_status_has_no_body_however_large_it_is() -> None:
    assert fetch(says(b"HTTP/1.1 404 Not Found\r\n\r\n", b"x" * LIMIT, b"x")).body == b""


def test_a_page_that_is_said_to_be_two_gigabytes_is_not_begun() -> None:
    assert failure(says(OK + b"Content-Length: 2147483648\r\n\r\n")) is Reason.TOO_LARGE


def endless(head: bytes, piece: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()

    return serve


def test_a_page_without_end_is_read_to_the_limit() -> None:
    assert failure(endless(OK + b"\r\n", PAGE * 1000)) is Reason.TOO_LARGE


def test_of_a_page_without_end_a_part_can_be_asked_for() -> None:
    answer = fetch(endless(OK + b"\r\n", PAGE * 1000), partly=True)
    assert (answer.status, len(answer.body), answer.whole) == (200, LIMIT, False)
    assert answer.body.startswith(PAGE)


def test_two_gigabytes_in_a_small_gzip_take_the_limit() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    assert len(bomb) < LIMIT * 2
    head = OK + b"Content-Encoding: gzip\r\n\r\n"
    assert failure(says(head + bomb)) is Reason.TOO_LARGE
    assert len(fetch(says(head + bomb), partly=True).body) == LIMIT


def test_headers_without_end_are_read_to_their_own_limit() -> None:
    assert failure(endless(OK, b"x: " + b"y" * 1000 + b"\r\n")) is Reason.MALFORMED


@pytest.mark.parametrize("said", [b"", OK, OK + b"Content-Length: 100\r\n\r\nonly"], ids=["nothing", "head", "body"])
def test_a_server_that_hangs_is_left_in_time(said: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.read(1 << 16)
        await reader.read(1 << 16)  # Until the client leaves.

    assert failure(serve, timeout=0.2) is Reason.TIMEOUT


def test_a_server_that_drips_does_not_get_more_time_for_each_drop() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"\r\n")
        while not reader.at_eof():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    assert failure(serve, timeout=0.3) is Reason.TIMEOUT


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x02\x00",
        b"\x00" * 100,
        OK,
        OK + b"Content-Length: 100\r\n\r\nless",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"Content-Encoding: gzip\r\n\r\nno gzip",
        OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(PAGE)[:-9],
        OK + b"Content-Encoding: br\r\n\r\nxx",
    ],
)
def test_what_is_no_whole_http_is_malformed(said: bytes) -> None:
    assert failure(says(said)) is Reason.MALFORMED


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_an_answer_or_a_failure(said: bytes, begun: bool) -> None:
    with suppress(Failed):
        fetch(says((OK if begun else b"") + said))


def test_nobody_there_and_no_such_name_are_told_apart() -> None:
    async def reason(target: Target) -> Reason:
        try:
            await get(target, "text/plain", limit=LIMIT, timeout=PATIENT)
        except Failed as failed:
            return failed.reason
        raise AssertionError

    async def refused() -> Reason:
        async with serving(says()) as port:
            pass
        return await reason(Target("127.0.0.1", port))

    assert asyncio.run(refused()) is Reason.REFUSED
    assert asyncio.run(reason(Target("no-such-name.invalid", 80))) is Reason.UNREACHABLE
    assert asyncio.run(reason(Target("x" * 70 + ".invalid", 80))) is Reason.UNREACHABLE


def test_plain_http_where_tls_is_asked_for_fails_as_tls() -> None:
    async def run() -> None:
        async with serving(says(OK)) as port:
            await get(Target("127.0.0.1", port, scheme="https"), "text/plain", limit=LIMIT, timeout=1.0)

    with pytest.raises(Failed) as error:
        asyncio.run(run())
    assert error.value.reason in (Reason.TLS, Reason.TIMEOUT)


def test_one_that_is_given_up_at_any_moment_leaves_nothing_to_complain_of() -> None:
    complaints: list[object] = []

    async def run() -> None:
        # The server, which is of this loop too, may complain.
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: complaints.append(context) if "future" in context else None
        )
        async with serving(says()) as port:
            for turns in range(40):
                asking = asyncio.create_task(get(Target("127.0.0.1", port), "*/*", limit=LIMIT, timeout=PATIENT))
                for _ in range(turns):
                    await asyncio.sleep(0)
                asking.cancel()
                with suppress(asyncio.CancelledError, Failed):
                    await asking
                await asyncio.sleep(0.01)
                del asking
                gc.collect()

    asyncio.run(run())
    assert complaints == []


def test_a_url_is_taken_apart_and_put_together() -> None:
    for text, target in (
        ("http://127.0.0.1:8000/metrics", Target("127.0.0.1", 8000)),
        ("https://engine.example/x?y=1", Target("engine.example", 443, "/x?y=1", "https")),
        ("http://[::1]:9000", Target("::1", 9000, "/")),
    ):
        assert Target.of(PageUrl.parse(text)) == target
    assert Target("::1", 9000).url == "http://[::1]:9000/metrics"
