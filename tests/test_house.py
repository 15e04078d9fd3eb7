"""The suite's own rules hold."""

import socket

import pytest


def test_a_test_cannot_reach_another_machine():
    with socket.socket() as outside, pytest.raises(RuntimeError, match="without a network"):
        outside.connect(("192.0.2.1", 80))  # TEST-NET-1 of RFC 5737: nobody's address
    with pytest.raises(RuntimeError, match="without a network"):
        socket.getaddrinfo("example.invalid", 80)


def test_a_test_can_reach_itself():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.sendall(b"x")
        assert server.accept()[0].recv(1) == b"x"
