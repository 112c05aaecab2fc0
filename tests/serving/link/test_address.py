from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from evenstore.errors import ConfigurationError
from serving.link.address import parse_address

PING = (b"PING",)


@pytest.mark.parametrize(
    ("url", "host", "port", "greeting"),
    [
        ("redis://", "localhost", 6379, [PING]),
        ("redis://db.example:7000/0", "db.example", 7000, [PING]),
        ("redis://db.example/3", "db.example", 6379, [(b"SELECT", b"3"), PING]),
        ("redis://db.example?db=4", "db.example", 6379, [(b"SELECT", b"4"), PING]),
        ("redis://:p%40ss@h", "h", 6379, [(b"AUTH", b"p@ss"), PING]),
        ("redis://me:pw@h/1", "h", 6379, [(b"AUTH", b"me", b"pw"), (b"SELECT", b"1"), PING]),
        ("redis://[::1]:7000", "::1", 7000, [PING]),
        ("redis://h?socket_timeout=3&max_connections=9", "h", 6379, [PING]),
    ],
)
def test_url_says_where_and_how(
    url: str, host: str, port: int, greeting: list[tuple[bytes, ...]]
) -> None:
    address = parse_address(url)
    assert (address.host, address.port, address.path) == (host, port, None)
    assert list(address.greeting) == greeting
    assert address.tls is None


def test_unix_socket_has_a_path() -> None:
    address = parse_address("unix://:pw@/run/redis.sock?db=2")
    assert address.path == "/run/redis.sock"
    assert address.greeting[:2] == ((b"AUTH", b"pw"), (b"SELECT", b"2"))


def test_text_of_an_address_holds_no_secret() -> None:
    address = parse_address("redis://me:topsecret@h/1")
    assert "topsecret" not in repr(address) + address.text


def test_tls_is_verified_unless_the_url_says_otherwise() -> None:
    tls = parse_address("rediss://h").tls
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.check_hostname
    tls = parse_address("rediss://h?ssl_cert_reqs=none").tls
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_NONE
    tls = parse_address("rediss://h?ssl_check_hostname=false").tls
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert not tls.check_hostname


@pytest.mark.parametrize(
    "url",
    [
        "topsecret",
        "http://:topsecret@h",
        "redis://:topsecret@h:port",
        "redis://:topsecret@h?decode_responses=true",
        "rediss://:topsecret@h?ssl_unknown=1",
        "rediss://:topsecret@h?ssl_cert_reqs=perhaps",
    ],
)
def test_unusable_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_address(url)
    assert "topsecret" not in str(caught.value)
    assert caught.value.__cause__ is None or "topsecret" not in str(caught.value.__cause__)
    assert caught.value.hint


def test_missing_certificate_is_a_setting_to_mend(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="TLS options"):
        parse_address(f"rediss://h?ssl_ca_certs={tmp_path / 'none.pem'}")
