"""One connection, many requests: each gets its own reply, whatever the others do."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import time
from pathlib import Path

import hiredis
import pytest

from evenstore.codec.command import encode_command
from evenstore.errors import OnlineStoreError, OnlineStoreUnavailableError
from serving.errors import OverloadedError
from serving.link.link import RedisLink
from tests.serving.link.conftest import N_KEYS
from tests.serving.link.servers import on_loop, redis_with, tls_in_front
from tests.serving.redis_process import RedisProcess
from tests.support.scale import scaled

pytestmark = pytest.mark.redis


def mget(keys: list[int]) -> bytes:
    return encode_command([b"MGET", *(b"key:%d" % key for key in keys)])


def values(keys: list[int]) -> list[bytes]:
    return [b"value:%d" % key for key in keys]


def test_each_request_gets_its_own_replies_though_others_are_cancelled(
    shared_redis: RedisProcess,
) -> None:
    rng = random.Random(7)
    n_right = n_cancelled = 0

    async def ask(link: RedisLink) -> None:
        nonlocal n_right, n_cancelled
        await asyncio.sleep(rng.random() * 0.5)
        groups = [rng.choices(range(N_KEYS), k=rng.choice((1, 1, 3, 400)))]
        groups += [rng.choices(range(N_KEYS), k=2) for _ in range(rng.choice((0, 0, 2)))]
        future = link.send(b"".join(map(mget, groups)), len(groups))
        if rng.random() < 0.3:
            # Before it is written, while it is under way, or never in time.
            delay_s = rng.choice((0, 0, 0.001, 0.01))
            asyncio.get_running_loop().call_later(delay_s, future.cancel)
        try:
            assert await future == [values(group) for group in groups]
            n_right += 1
        except asyncio.CancelledError:
            n_cancelled += 1

    async def main() -> None:
        link = RedisLink(shared_redis.url, timeout_s=30, max_pending=100_000)
        for _ in range(scaled(1, 20)):
            await asyncio.gather(*[ask(link) for _ in range(3000)])
        await link.ping()
        assert link.n_pending == 0
        assert link.n_reconnects == 0
        await link.close()

    on_loop(main())
    assert n_right > 1000
    assert n_cancelled > 100


def test_replies_are_as_redis_gave_them(shared_redis: RedisProcess) -> None:
    async def main() -> None:
        link = RedisLink(shared_redis.url, timeout_s=30)
        commands = [(b"GET", b"none"), (b"LPUSH", b"key:1", b"x"), (b"DBSIZE",), (b"PING",)]
        payload = b"".join(map(encode_command, commands))
        replies = await link.send(payload, len(commands))
        assert replies[0] is None
        assert isinstance(replies[1], hiredis.ReplyError)
        assert isinstance(replies[2], int)
        assert replies[3] == b"PONG"
        with pytest.raises(OnlineStoreError, match="WRONGTYPE"):
            await link.read(commands)
        assert await link.read([]) == []
        assert await link.read([(b"GET", b"key:2"), (b"GET", b"key:3")]) == values([2, 3])
        assert not link.is_open
        await link.close()

    on_loop(main())


def test_request_has_at_least_one_reply(shared_redis: RedisProcess) -> None:
    async def main() -> None:
        link = RedisLink(shared_redis.url, timeout_s=30)
        for _ in range(2):
            with pytest.raises(ValueError, match="at least one reply"):
                link.send(b"", 0)
            await link.ping()
        await link.close()

    on_loop(main())


def test_too_many_requests_are_refused_at_once_and_the_others_answered(
    shared_redis: RedisProcess,
) -> None:
    async def main() -> None:
        link = RedisLink(shared_redis.url, timeout_s=30, max_pending=5)
        for _ in range(2):  # While it connects, and when it is connected.
            futures = [link.send(mget([i]), 1) for i in range(5)]
            with pytest.raises(OverloadedError):
                link.send(mget([6]), 1)
            assert link.n_pending == 5
            assert await asyncio.gather(*futures) == [[values([i])] for i in range(5)]
        assert link.n_pending == 0
        await link.close()

    on_loop(main())


def test_reply_that_is_too_large_fails_its_request_only(shared_redis: RedisProcess) -> None:
    with shared_redis.client() as client:
        client.set("large", b"x" * 3_000_000)

    async def main() -> None:
        link = RedisLink(shared_redis.url, timeout_s=30, max_reply_bytes=1_000_000)
        for _ in range(4):
            with pytest.raises(OnlineStoreError, match="larger") as caught:
                await link.read([(b"GET", b"large")])
            assert caught.value.hint
            assert await link.send(mget([1, 2]), 1) == [values([1, 2])]
        assert not link.is_open, "Redis is well"
        await link.close()

    on_loop(main())


def test_reply_that_lies_there_while_the_loop_was_busy_is_in_time(
    shared_redis: RedisProcess,
) -> None:
    async def main() -> None:
        link = RedisLink(shared_redis.url, timeout_s=0.5)
        await link.ping()
        future = link.send(mget([1]), 1)
        await asyncio.sleep(0)
        time.sleep(1.0)  # noqa: ASYNC251 - what a large answer's rendering does to the loop
        assert await future == [values([1])]
        assert link.n_timeouts == 0
        await link.close()

    on_loop(main())


def test_closed_link_fails_what_waits_and_refuses_more(shared_redis: RedisProcess) -> None:
    async def main() -> None:
        link = RedisLink(shared_redis.url, timeout_s=30)
        await link.ping()
        waiting = link.send(encode_command((b"BLPOP", b"nobody-pushes", b"0")), 1)
        await link.close()
        with pytest.raises(OnlineStoreUnavailableError, match="closed"):
            await waiting
        with pytest.raises(OnlineStoreUnavailableError, match="closed"):
            link.send(mget([1]), 1)
        await link.close()

    on_loop(main())


def test_link_may_be_closed_while_it_connects(shared_redis: RedisProcess) -> None:
    async def main() -> None:
        await RedisLink(shared_redis.url, timeout_s=30).close()
        link = RedisLink(shared_redis.url, timeout_s=30)
        waiting = link.send(mget([1]), 1)
        await asyncio.sleep(0)
        await link.close()
        with pytest.raises(OnlineStoreUnavailableError, match="closed"):
            await waiting

    on_loop(main())


def test_password_and_database_are_those_of_the_url(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(port: int) -> None:
        base = f"127.0.0.1:{port}"
        second = RedisLink(f"redis://:p%40ss@{base}/2", timeout_s=30)
        first = RedisLink(f"redis://default:p%40ss@{base}/0", timeout_s=30)
        await second.read([(b"SET", b"key", b"in 2")])
        assert await second.read([(b"GET", b"key")]) == [b"in 2"]
        assert await first.read([(b"GET", b"key")]) == [None]
        for url in (f"redis://:topsecret@{base}", f"redis://nobody:topsecret@{base}"):
            wrong = RedisLink(url, timeout_s=30)
            with pytest.raises(OnlineStoreUnavailableError, match="credentials") as caught:
                await wrong.ping()
            assert "topsecret" not in str(caught.value)
            await wrong.close()
        none = RedisLink(f"redis://{base}", timeout_s=30)
        with pytest.raises(OnlineStoreUnavailableError, match="credentials"):
            await none.ping()
        for link in (first, second, none):
            await link.close()

    with redis_with(tmp_path, "--requirepass", "p@ss") as port:
        on_loop(main(port))
    assert "credentials" in caplog.text
    assert "topsecret" not in caplog.text


def test_unix_socket_is_a_way_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    # Paths of sockets are limited to about a hundred bytes.
    folder = tmp_path_factory.mktemp("s")
    path = folder / "r.sock"

    async def main() -> None:
        link = RedisLink(f"unix://{path}?db=1", timeout_s=30)
        assert await link.read([(b"SET", b"k", b"v"), (b"GET", b"k")]) == [b"OK", b"v"]
        await link.close()
        missing = RedisLink(f"unix://{folder / 'none.sock'}", timeout_s=30)
        with pytest.raises(OnlineStoreUnavailableError, match="cannot be reached"):
            await missing.ping()
        await missing.close()

    with redis_with(folder, "--unixsocket", str(path)):
        on_loop(main())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_tls_is_used_and_verified(shared_redis: RedisProcess, tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-out", certificate, "-keyout", key],
        check=True, capture_output=True,
    )  # fmt: skip

    async def main() -> None:
        async with tls_in_front(shared_redis.port, certificate, key) as port:
            good = RedisLink(f"rediss://localhost:{port}?ssl_ca_certs={certificate}", timeout_s=30)
            assert await good.read([(b"GET", b"key:9")]) == values([9])
            await good.close()
            for url in (
                f"rediss://localhost:{port}",  # Signed by nobody it knows.
                f"rediss://127.0.0.1:{port}?ssl_ca_certs={certificate}",  # Another name.
                f"redis://localhost:{port}",  # Not TLS.
            ):
                bad = RedisLink(url, timeout_s=5)
                with pytest.raises(OnlineStoreError) as caught:
                    await bad.ping()
                assert caught.value.hint
                await bad.close()

    on_loop(main())
