"""What counts as a fault of a running server, by the index that Triton gives of its models."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from server.readiness import check_models

INDEX = [
    {"name": "graph", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"},
    {"name": "graph", "version": "2", "state": "READY"},
    {"name": "graph", "version": "3", "state": "UNLOADING"},
    {"name": "old", "version": "1", "state": "UNAVAILABLE", "reason": "unloaded"},
    {"name": "placed"},
    {"name": "coming", "version": "1", "state": "LOADING"},
    {"name": "going", "version": "1", "state": "UNLOADING"},
    {"name": "har_base"},
    {"name": "broken", "version": "1", "state": "UNAVAILABLE", "reason": "no such file"},
]


class Index(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.dumps(INDEX).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def http_url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Index)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_publishing_puts_there_loads_and_unloads_is_no_fault(http_url: str) -> None:
    faults = {check.model: check.fault for check in check_models(http_url, 5)}
    assert faults == {"graph": None, "broken": "is UNAVAILABLE"}
