"""What a client is opened with, checked once; the API key shows nowhere."""

from __future__ import annotations

import os
import ssl
import uuid
from dataclasses import dataclass, field

import httpx

from evenstore.client.exchange import REQUEST_ID_HEADER
from evenstore.client.retries import RetryPolicy
from evenstore.errors import ConfigurationError
from evenstore.redis_url import redact_url

__all__ = ["CONNECT_S", "KEEP_ALIVE_S", "ClientSettings", "open_settings", "request_headers"]

KEEP_ALIVE_S = 20.0
"""Shorter than the gateway's 30 s, so that a connection is seldom closed as it is used."""

CONNECT_S = 1.0
"""Longest wait for a connection: a lost packet is tried again within the call's time."""

_API_KEY_VARIABLE = "EVENSTORE_API_KEY"


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """The settings of one client.

    Attributes:
        base_url: Where the gateway is.
        timeout_s: Time of one call, retries and pauses included.
        retries: How calls are tried again.
        max_connections: Connections kept open at most; further calls wait for one.
        headers: What every request carries; holds the API key.
        ssl_context: For https.
    """

    base_url: str
    timeout_s: float
    retries: RetryPolicy
    max_connections: int
    headers: dict[str, str] = field(repr=False)
    ssl_context: ssl.SSLContext = field(repr=False)


def open_settings(
    base_url: str,
    *,
    api_key: str | None,
    timeout_s: float,
    retries: RetryPolicy | None,
    max_connections: int,
    ssl_context: ssl.SSLContext | None,
) -> ClientSettings:
    """Check the arguments of a client.

    Raises:
        ConfigurationError: The URL is none, a number is not above 0, or the API key holds what no
            header can; its text is never shown.
    """
    if timeout_s <= 0 or max_connections < 1:
        msg = f"timeout_s is {timeout_s}, max_connections is {max_connections}"
        raise ConfigurationError(msg, hint="give numbers above 0")
    headers = {"accept": "application/json"}
    key = os.environ.get(_API_KEY_VARIABLE) if api_key is None else api_key
    if key:
        headers["authorization"] = _bearer(key)
    url = _checked_url(base_url)
    if ssl_context is None:
        # Reading the certificates of all authorities takes longer than some dozens of lookups.
        is_plain = url.startswith("http://")
        ssl_context = (
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if is_plain else httpx.create_ssl_context()
        )
    return ClientSettings(
        base_url=url,
        timeout_s=timeout_s,
        retries=RetryPolicy() if retries is None else retries,
        max_connections=max_connections,
        headers=headers,
        ssl_context=ssl_context,
    )


def request_headers(*, has_body: bool) -> dict[str, str]:
    """Make the headers of one call: its attempts share one request id."""
    headers = {REQUEST_ID_HEADER: uuid.uuid4().hex}
    if has_body:
        headers["content-type"] = "application/json"
    return headers


def _bearer(key: str) -> str:
    # An HTTP library would show the whole header in its complaint.
    if not (key.isascii() and key.isprintable()) or " " in key:
        msg = "the API key holds a space, a control character or a letter outside ASCII"
        raise ConfigurationError(
            msg, hint="is it cut from a longer text, or read with its newline?"
        )
    return f"Bearer {key}"


def _checked_url(text: str) -> str:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, TypeError) as exc:
        msg = f"not a URL: {redact_url(str(text))!r}"
        raise ConfigurationError(msg, hint="write http://HOST:PORT") from exc
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo:
        msg = f"not the URL of a gateway: {redact_url(text)!r}"
        raise ConfigurationError(msg, hint="write http://HOST:PORT; a key goes into `api_key=`")
    return str(url)
