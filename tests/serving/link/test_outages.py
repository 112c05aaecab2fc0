"""Redis killed, paused, loading, or not Redis at all: clear errors, no hang, no wrong reply."""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from evenstore.codec.command import encode_command
from evenstore.errors import (
    OnlineStoreError,
    OnlineStoreTimeoutError,
    OnlineStoreUnavailableError,
)
from serving.errors import OverloadedError
from serving.link.link import RedisLink
from tests.serving.link.conftest import N_KEYS, fill
from tests.serving.link.servers import on_loop, redis_with, serve
from tests.serving.redis_process import RedisProcess

pytestmark = [pytest.mark.redis, pytest.mark.slow]

PING = encode_command((b"PING",))


async def value_of(link: RedisLink, key: int) -> None:
    """Ask for a key; fails the test if the answer is another key's."""
    replies = await link.send(encode_command((b"GET", b"key:%d" % key)), 1)
    assert replies == [b"value:%d" % key]


async def fails_with(link: RedisLink) -> type[OnlineStoreError]:
    with pytest.raises(OnlineStoreError) as caught:
        await value_of(link, 1)
    assert caught.value.hint
    return type(caught.value)


async def answers_again(link: RedisLink) -> None:
    """Wait until the link recovers by itself, while somebody keeps asking."""
    async with asyncio.timeout(60):
        while True:
            try:
                await value_of(link, 1)
            except OnlineStoreError:
                await asyncio.sleep(0.02)
            else:
                return


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(3000):
        if is_so():
            return
        await asyncio.sleep(0.02)
    message = "waited in vain for a minute"
    raise AssertionError(message)


def test_killed_redis_is_unavailable_and_comes_back(
    own_redis: RedisProcess, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        link = RedisLink(own_redis.url, timeout_s=30)
        for _ in range(2):
            caplog.clear()
            await value_of(link, 1)
            own_redis.kill()
            for _ in range(10):
                assert await fails_with(link) is OnlineStoreUnavailableError
            assert link.is_open
            with pytest.raises(OnlineStoreUnavailableError, match="not asked"):
                link.send(PING, 1)  # Refused at once: there is nothing to wait for.
            own_redis.start()
            fill(own_redis)
            await answers_again(link)
            levels = [record.levelno for record in caplog.records]
            assert levels == [logging.ERROR, logging.WARNING], "one line each"
        assert link.n_reconnects == 2
        await link.close()

    on_loop(main())


def test_link_recovers_without_being_asked(own_redis: RedisProcess) -> None:
    async def main() -> None:
        own_redis.kill()
        link = RedisLink(own_redis.url, timeout_s=30)
        for _ in range(3):
            assert await fails_with(link) is OnlineStoreUnavailableError
        own_redis.start()
        fill(own_redis)
        await until(lambda: not link.is_open)
        await value_of(link, 2)
        await link.close()

    on_loop(main())


def test_requests_under_way_fail_when_redis_dies(own_redis: RedisProcess) -> None:
    async def main() -> None:
        link = RedisLink(own_redis.url, timeout_s=30)
        await link.ping()
        own_redis.send(signal.SIGSTOP)
        futures = [link.send(PING, 1) for _ in range(50)]
        await asyncio.sleep(0.05)
        own_redis.kill()
        for future in futures:
            with pytest.raises(OnlineStoreUnavailableError):
                await future
        await link.close()

    on_loop(main())


def test_paused_redis_is_a_timeout_and_its_late_replies_are_nobodys(
    own_redis: RedisProcess,
) -> None:
    async def main() -> None:
        link = RedisLink(own_redis.url, timeout_s=1)
        await value_of(link, 1)
        own_redis.send(signal.SIGSTOP)
        futures = [link.send(encode_command((b"GET", b"key:%d" % i)), 1) for i in range(50)]
        for future in futures:
            with pytest.raises(OnlineStoreTimeoutError):
                await future
        assert link.n_timeouts == 50
        assert await fails_with(link) is OnlineStoreTimeoutError, "a new one connects in vain"
        assert await fails_with(link) is OnlineStoreTimeoutError
        assert link.is_open
        assert await fails_with(link) is OnlineStoreUnavailableError
        own_redis.send(signal.SIGCONT)
        await answers_again(link)
        await asyncio.gather(*[value_of(link, i) for i in range(N_KEYS)])
        await link.close()

    on_loop(main())


def test_later_requests_of_a_silent_connection_only_lost_it(own_redis: RedisProcess) -> None:
    async def main() -> None:
        link = RedisLink(own_redis.url, timeout_s=2)
        await link.ping()
        own_redis.send(signal.SIGSTOP)
        early = link.send(PING, 1)
        await asyncio.sleep(0.2)
        late = link.send(PING, 1)
        with pytest.raises(OnlineStoreTimeoutError):
            await early
        with pytest.raises(OnlineStoreUnavailableError):
            await late
        assert link.n_timeouts == 1
        await link.close()

    on_loop(main())


def test_killed_connections_under_load_give_no_wrong_reply(shared_redis: RedisProcess) -> None:
    rng = random.Random(3)
    outcomes = {"right": 0, "lost": 0}

    async def ask(link: RedisLink, n_times: int) -> None:
        for _ in range(n_times):
            try:
                await value_of(link, rng.randrange(N_KEYS))
                outcomes["right"] += 1
            except OnlineStoreUnavailableError:
                outcomes["lost"] += 1
                await asyncio.sleep(0.02)

    async def main() -> None:
        link = RedisLink(shared_redis.url, timeout_s=30)
        load = asyncio.gather(*[ask(link, 150) for _ in range(16)])
        with shared_redis.client() as client:
            while not load.done():
                client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                await asyncio.sleep(0.01)
        await load
        assert link.n_reconnects > 0
        await link.close()

    on_loop(main())
    assert outcomes["right"] > 100
    assert outcomes["lost"] > 0


def test_requests_that_redis_does_not_take_are_bounded(own_redis: RedisProcess) -> None:
    async def main() -> None:
        link = RedisLink(own_redis.url, timeout_s=1, max_unsent_bytes=2_000_000)
        await link.ping()
        own_redis.send(signal.SIGSTOP)
        payload = encode_command((b"ECHO", b"x" * 1_000_000))
        futures = []

        async def send_without_end() -> None:
            while True:
                futures.append(link.send(payload, 1))
                await asyncio.sleep(0)

        with pytest.raises(OverloadedError, match="bytes"):
            await send_without_end()
        for future in futures:
            with pytest.raises(OnlineStoreTimeoutError):
                await future
        own_redis.send(signal.SIGCONT)
        await answers_again(link)
        await link.close()

    on_loop(main())


def test_redis_that_loads_its_file_is_unavailable_until_it_has(tmp_path: Path) -> None:
    # Written by one server, read by the next one with a delay per key.
    file_options = ("--dbfilename", "rows.rdb", "--rdbcompression", "no")
    with redis_with(tmp_path, *file_options) as port:
        link_url = f"redis://127.0.0.1:{port}"

        async def write() -> None:
            link = RedisLink(link_url, timeout_s=30)
            rows = [(b"SET", b"%d" % i, b"%d" % i * 10_000) for i in range(600)]
            await link.read([*rows, (b"SAVE",)])
            await link.close()

        on_loop(write())

    async def main(port: int) -> None:
        link = RedisLink(f"redis://127.0.0.1:{port}", timeout_s=30)
        with pytest.raises(OnlineStoreUnavailableError, match="loading"):
            await link.ping()
        async with asyncio.timeout(120):
            while True:
                try:
                    assert await link.read([(b"GETRANGE", b"2", b"0", b"1")]) == [b"22"]
                except OnlineStoreUnavailableError:
                    await asyncio.sleep(0.05)
                else:
                    break
        await link.close()

    # It looks at its connections after every two megabytes of the file.
    slow = ("--key-load-delay", "5000")
    with redis_with(tmp_path, *file_options, *slow) as port:
        on_loop(main(port))


def test_what_is_not_redis_is_told_apart() -> None:
    async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async def main() -> None:
        async with serve(speak_http) as port:
            link = RedisLink(f"redis://127.0.0.1:{port}", timeout_s=30)
            assert await fails_with(link) is OnlineStoreError
            await link.close()

    on_loop(main())


def test_reply_that_nobody_asked_for_ends_the_connection() -> None:
    async def repeat_itself(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"+PONG\r\n")
        await reader.read(100)
        writer.write(b"$1\r\na\r\n$1\r\nb\r\n")
        await reader.read()

    async def main() -> None:
        async with serve(repeat_itself) as port:
            link = RedisLink(f"redis://127.0.0.1:{port}", timeout_s=30)
            for _ in range(3):
                # Never `b`, which a connection that stayed open would give to the second one.
                assert await link.send(PING, 1) == [b"a"]
                await asyncio.sleep(0.05)
            assert link.n_reconnects == 2
            await link.close()

    on_loop(main())


@pytest.mark.parametrize("part", [b"", b"*2\r\n$1\r\na\r\n", b"$5\r\nab"])
def test_reply_that_stops_midway_is_a_timeout(part: bytes) -> None:
    n_connections = 0

    async def stall_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal n_connections
        n_connections += 1
        await reader.read(100)
        writer.write(b"+PONG\r\n")
        while await reader.read(100):
            writer.write(part if n_connections == 1 else b"$5\r\nright\r\n")

    async def main() -> None:
        async with serve(stall_once) as port:
            link = RedisLink(f"redis://127.0.0.1:{port}", timeout_s=0.5)
            with pytest.raises(OnlineStoreTimeoutError):
                await link.send(PING, 1)
            assert await link.send(PING, 1) == [b"right"]
            await link.close()

    on_loop(main())


def test_server_that_accepts_and_says_nothing_is_a_timeout() -> None:
    async def be_silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main() -> None:
        async with serve(be_silent) as port:
            link = RedisLink(f"redis://127.0.0.1:{port}", timeout_s=0.2)
            futures = [link.send(PING, 1) for _ in range(3)]
            for future in futures:
                with pytest.raises(OnlineStoreTimeoutError):
                    await future
            assert link.n_timeouts == 3
            await link.close()

    on_loop(main())


def test_name_that_nobody_has_is_unavailable() -> None:
    async def main() -> None:
        link = RedisLink("redis://no-such-host.invalid:6379", timeout_s=30)
        with pytest.raises(OnlineStoreUnavailableError, match="cannot be reached"):
            await link.ping()
        await link.close()

    on_loop(main())
