import socket

import pytest

from tests.conftest import NetworkBlocked


def test_another_machine_cannot_be_reached():
    with pytest.raises(NetworkBlocked), socket.socket() as out:
        out.connect(("192.0.2.1", 80))
    with pytest.raises(NetworkBlocked):
        socket.getaddrinfo("example.org", 443)


def test_this_machine_can_be_reached():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        socket.create_connection(listener.getsockname()).close()
    left, right = socket.socketpair()
    left.close()
    right.close()
