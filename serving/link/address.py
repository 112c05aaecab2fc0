"""Where Redis is and how to log in, from a URL as redis-py takes it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from redis.connection import SSLConnection, parse_url

from evenstore.codec.command import encode_command
from evenstore.errors import ConfigurationError
from evenstore.redis_url import CONNECTION_HINT, redact_url

__all__ = ["Address", "parse_address"]

_CERT_REQS = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_SSL_OPTIONS = frozenset({
    "ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile",
    "ssl_check_hostname", "ssl_ciphers", "ssl_keyfile", "ssl_min_version", "ssl_password",
})  # fmt: skip
_FALSE = frozenset({"0", "f", "false", "n", "no"})


@dataclass(frozen=True, slots=True)
class Address:
    """A Redis server, a database in it, and the credentials; its text holds no secret."""

    text: str
    host: str
    port: int
    path: str | None
    tls: ssl.SSLContext | None = field(repr=False)
    greeting: tuple[tuple[bytes, ...], ...] = field(repr=False)
    """The commands that begin a connection: AUTH and SELECT where needed, and always a PING."""

    @property
    def encoded_greeting(self) -> bytes:
        """The greeting as bytes for the wire."""
        return b"".join(encode_command(command) for command in self.greeting)

    async def connect(self, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        """Open a connection of the running event loop.

        Raises:
            OSError: There is no way to it.
        """
        loop = asyncio.get_running_loop()
        if self.path is not None:
            await loop.create_unix_connection(make_protocol, self.path)
        else:
            await loop.create_connection(make_protocol, self.host, self.port, ssl=self.tls)


def parse_address(url: str) -> Address:
    """Read a URL: `redis://`, `rediss://` or `unix://`.

    Timeouts and sizes of pools in it are ignored: here one connection serves all, and the gateway's
    own setting is the deadline.

    Raises:
        ConfigurationError: The URL cannot be used; the message does not show it.
    """
    try:
        options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    except ValueError:
        # Not chained: what is not understood may be a password.
        msg = "the connection string is no Redis URL"
        raise ConfigurationError(msg, hint=CONNECTION_HINT) from None
    if options.get("decode_responses"):
        msg = "the connection string asks for decoded replies, and rows are bytes"
        raise ConfigurationError(msg, hint="leave `decode_responses` out of it")
    is_tls = options.get("connection_class") is SSLConnection
    return Address(
        text=redact_url(url),
        host=options.get("host", "localhost"),
        port=options.get("port", 6379),
        path=options.get("path"),
        tls=_tls_context(options) if is_tls else None,
        greeting=_greeting(options),
    )


def _greeting(options: dict[str, Any]) -> tuple[tuple[bytes, ...], ...]:
    username, password = options.get("username"), options.get("password")
    commands: list[tuple[bytes, ...]] = []
    if username or password:
        names = [username.encode()] if username else []
        commands.append((b"AUTH", *names, (password or "").encode()))
    if database := int(options.get("db", 0)):
        commands.append((b"SELECT", b"%d" % database))
    # A server that accepts connections may still be paused, or loading its file.
    return (*commands, (b"PING",))


def _tls_context(options: dict[str, Any]) -> ssl.SSLContext:
    unknown = sorted(
        name for name in options if name.startswith("ssl_") and name not in _SSL_OPTIONS
    )
    if unknown:
        msg = f"the connection string has TLS options that are not known: {', '.join(unknown)}"
        raise ConfigurationError(msg, hint=f"known are {', '.join(sorted(_SSL_OPTIONS))}")
    try:
        return _build_context(options)
    except (OSError, KeyError, ValueError) as exc:
        msg = f"the TLS options of the connection string cannot be used: {exc}"
        raise ConfigurationError(msg, hint="do the files exist, and can they be read?") from exc


def _build_context(options: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(
        cafile=options.get("ssl_ca_certs"),
        capath=options.get("ssl_ca_path"),
        cadata=options.get("ssl_ca_data"),
    )
    mode = _CERT_REQS[str(options.get("ssl_cert_reqs", "required")).lower()]
    checks_name = str(options.get("ssl_check_hostname", True)).lower() not in _FALSE
    context.check_hostname = checks_name and mode is ssl.CERT_REQUIRED
    context.verify_mode = mode
    if certificate := options.get("ssl_certfile"):
        context.load_cert_chain(
            certificate, options.get("ssl_keyfile"), options.get("ssl_password")
        )
    if minimum := options.get("ssl_min_version"):
        context.minimum_version = ssl.TLSVersion(int(minimum))
    if ciphers := options.get("ssl_ciphers"):
        context.set_ciphers(ciphers)
    return context
