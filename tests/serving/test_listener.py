from __future__ import annotations

import ipaddress

import pytest

from evenstore.errors import ConfigurationError
from serving.listener import base_url, bind_socket, start_listening


def test_port_zero_takes_a_free_one() -> None:
    with bind_socket("127.0.0.1", 0) as first, bind_socket("127.0.0.1", 0) as second:
        assert first.getsockname()[1] != second.getsockname()[1]
        assert base_url(first) == f"http://127.0.0.1:{first.getsockname()[1]}"


def test_any_address_is_reached_locally() -> None:
    with bind_socket(str(ipaddress.IPv4Address(0)), 0) as listener:
        assert base_url(listener).startswith("http://127.0.0.1:")


def test_port_taken_between_bind_and_listen_is_an_error() -> None:
    with bind_socket("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with bind_socket("127.0.0.1", port) as second:
            start_listening(first)
            with pytest.raises(ConfigurationError, match=f"port {port} on 127.0.0.1 is taken"):
                start_listening(second)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"cannot listen on {host}"):
        bind_socket(host, 0)
