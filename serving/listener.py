"""The gateway's listening socket: bound once by the supervisor, inherited by every worker."""

from __future__ import annotations

import errno
import ipaddress
import socket

from evenstore.errors import ConfigurationError

__all__ = ["base_url", "bind_socket", "start_listening"]

_BACKLOG = 1024


def bind_socket(host: str, port: int) -> socket.socket:
    """Take an address without accepting connections yet.

    Args:
        host: A name or an address.
        port: 0 takes a free one.

    Raises:
        ConfigurationError: The port is taken, or the address is not one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as exc:
        raise _refusal(host, port, exc) from exc
    try:
        # Without it a restart would wait a minute for old connections to be forgotten.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as exc:
        listener.close()
        raise _refusal(host, port, exc) from exc
    return listener


def start_listening(listener: socket.socket) -> None:
    """Accept connections from here on; they wait until a worker takes them.

    Raises:
        ConfigurationError: Another process began to listen on the port meanwhile.
    """
    host, port = listener.getsockname()[:2]
    try:
        listener.listen(_BACKLOG)
    except OSError as exc:
        raise _refusal(host, port, exc) from exc


def base_url(listener: socket.socket) -> str:
    """Return the address that clients on this machine use."""
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _refusal(host: str, port: int, exc: OSError) -> ConfigurationError:
    if exc.errno == errno.EADDRINUSE:
        msg = f"port {port} on {host} is taken by another process"
        return ConfigurationError(msg, hint="stop that process, or choose another with `--port`")
    if exc.errno == errno.EACCES:
        msg = f"port {port} may not be used by this user"
        return ConfigurationError(msg, hint="choose a port above 1023 with `--port`")
    msg = f"cannot listen on {host}:{port}: {exc.strerror or exc}"
    return ConfigurationError(msg, hint="`--host` takes an address of this machine")
