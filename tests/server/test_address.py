import socket

import pytest

from server.address import ANY_FREE, Endpoints, free_endpoints
from server.errors import ServerError


def test_zeros_become_three_different_free_ports():
    free = free_endpoints(ANY_FREE)
    ports = {free.http_port, free.grpc_port, free.metrics_port}
    assert len(ports) == 3
    assert 0 not in ports
    for port in ports:
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", port))


def test_an_address_of_another_machine_is_refused():
    with pytest.raises(ServerError, match=r"cannot listen on 192.0.2.1.*--address"):
        free_endpoints(Endpoints(address="192.0.2.1", http_port=0, grpc_port=0, metrics_port=0))


def test_a_server_that_listens_everywhere_is_called_on_localhost():
    assert Endpoints(address="0.0.0.0", http_port=8000).http_url == "127.0.0.1:8000"
