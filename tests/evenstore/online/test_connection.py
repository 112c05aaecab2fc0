from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator

import pytest
import redis
from redis import exceptions

from evenstore.errors import (
    OnlineStoreError,
    OnlineStoreTimeoutError,
    OnlineStoreUnavailableError,
)
from evenstore.online.connection import (
    DRIVER_ERRORS,
    Command,
    execute,
    execute_raw,
    open_redis,
    translate_redis_error,
)

Send = Callable[[redis.Redis, list[Command]], list[object]]
_WAYS = [execute, execute_raw]
_DRIVER_CLASSES = sorted(
    {
        kind
        for module in (exceptions, redis)
        for kind in vars(module).values()
        if isinstance(kind, type)
        and issubclass(kind, Exception)
        and kind.__module__.startswith("redis")
    },
    key=lambda kind: kind.__name__,
)
# Raised where a client is misconfigured or forked by the driver itself, never by a command.
_NEVER_BY_A_COMMAND = {"ChildDeadlockedError", "IncorrectPolicyType"}
_UNAVAILABLE = {
    "AskError",
    "AuthenticationError",
    "AuthenticationWrongNumberOfArgsError",
    "AuthorizationError",
    "BusyLoadingError",
    "ClusterCrossSlotError",
    "ClusterDownError",
    "ClusterError",
    "ConnectionError",
    "CrossSlotTransactionError",
    "ExternalAuthProviderError",
    "InvalidPipelineStack",
    "MasterDownError",
    "MaxConnectionsError",
    "MovedError",
    "ReadOnlyError",
    "RedisClusterException",
    "SlotNotCoveredError",
    "TryAgainError",
}
_REFUSED = {
    "DataError",
    "ExecAbortError",
    "InvalidResponse",
    "LockError",
    "LockNotOwnedError",
    "ModuleError",
    "NoPermissionError",
    "NoScriptError",
    "OutOfMemoryError",
    "PubSubError",
    "RedisError",
    "ResponseError",
    "WatchError",
}


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with open_redis(redis_url) as opened:
        yield opened


def test_every_class_of_the_driver_has_its_place() -> None:
    names = {kind.__name__ for kind in _DRIVER_CLASSES}

    assert names - _NEVER_BY_A_COMMAND - _UNAVAILABLE - _REFUSED == {"TimeoutError"}


@pytest.mark.parametrize("kind", _DRIVER_CLASSES, ids=lambda kind: kind.__name__)
def test_error_of_the_driver_becomes_ours(kind: type[Exception]) -> None:
    # Without running its constructor: some parse a server's whole reply there.
    error = kind.__new__(kind, "what happened")

    translated = translate_redis_error(error)

    if kind.__name__ == "TimeoutError":
        assert isinstance(translated, OnlineStoreTimeoutError)
    else:
        is_unavailable = isinstance(translated, OnlineStoreUnavailableError)
        assert is_unavailable == (kind.__name__ in _UNAVAILABLE)
    assert "what happened" in translated.message
    assert issubclass(kind, DRIVER_ERRORS) or kind.__name__ in _NEVER_BY_A_COMMAND


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), OnlineStoreTimeoutError),
        (ConnectionResetError("gone"), OnlineStoreUnavailableError),
        (FileNotFoundError(2, "No such file"), OnlineStoreUnavailableError),
        (ssl.SSLError("bad certificate"), OnlineStoreUnavailableError),
    ],
)
def test_error_of_the_socket_becomes_ours(error: Exception, kind: type[OnlineStoreError]) -> None:
    translated = translate_redis_error(error)

    assert type(translated) is kind
    assert translated.hint is not None


def test_error_without_a_text_is_named_by_its_class() -> None:
    assert "WatchError" in translate_redis_error(exceptions.WatchError()).message


@pytest.mark.parametrize("send", _WAYS)
def test_replies_come_in_the_order_of_the_commands(client: redis.Redis, send: Send) -> None:
    assert send(client, [(b"SET", b"a", b"1"), (b"GET", b"a"), (b"GET", b"b")]) == [
        b"OK",
        b"1",
        None,
    ]
    assert send(client, []) == []


@pytest.mark.parametrize("send", _WAYS)
def test_refused_command_is_an_error_without_its_values(client: redis.Redis, send: Send) -> None:
    client.set("text", "x")

    with pytest.raises(OnlineStoreError, match="WRONGTYPE") as error:
        send(client, [(b"HSET", b"text", b"field", b"secret")])

    assert "secret" not in str(error.value)
    assert send(client, [(b"GET", b"text")]) == [b"x"], "no reply is left behind"


@pytest.mark.parametrize("send", _WAYS)
def test_no_server_is_unavailable(send: Send) -> None:
    with (
        open_redis("unix:///nowhere/redis.sock") as nobody,
        pytest.raises(OnlineStoreUnavailableError),
    ):
        send(nobody, [(b"PING",)])


@pytest.mark.parametrize("send", _WAYS)
def test_silent_server_is_given_up(client: redis.Redis, redis_url: str, send: Send) -> None:
    client.client_pause(60_000, all=False)
    try:
        with (
            open_redis(redis_url, timeout_s=0.1) as asking,
            pytest.raises(OnlineStoreTimeoutError),
        ):
            send(asking, [(b"SET", b"a", b"1")])
    finally:
        client.client_unpause()


def test_wrong_password_names_the_credentials(client: redis.Redis, redis_url: str) -> None:
    client.config_set("requirepass", "right")
    try:
        with (
            open_redis(redis_url) as stranger,
            pytest.raises(OnlineStoreUnavailableError, match="refused the credentials") as error,
        ):
            execute(stranger, [(b"GET", b"a")])
    finally:
        client.config_set("requirepass", "")

    assert error.value.hint is not None
    assert "password" in error.value.hint


def test_user_without_the_permission_is_refused(client: redis.Redis, redis_url: str) -> None:
    client.execute_command("ACL", "SETUSER", "reader", "on", "nopass", "~*", "+ping")
    separator = "&" if "?" in redis_url else "?"
    try:
        with (
            open_redis(f"{redis_url}{separator}username=reader&password=any") as reader,
            pytest.raises(OnlineStoreError, match="may not do this"),
        ):
            execute(reader, [(b"GET", b"a")])
    finally:
        client.execute_command("ACL", "DELUSER", "reader")
