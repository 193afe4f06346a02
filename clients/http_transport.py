"""Triton over HTTP. One thread at a time: tritonclient's HTTP client cannot be shared."""

# pyright: reportMissingTypeStubs=false

from typing import Any

import gevent
import tritonclient.http
from geventhttpclient.response import HTTPParseError

from clients.transport import Transport


class HttpTransport(Transport):
    """tritonclient's HTTP client, with tensors in binary behind the JSON."""

    def __init__(self, url: str, timeout: float) -> None:
        """`url` is host:port; a request may take `timeout` seconds."""
        client = tritonclient.http.InferenceServerClient(
            url, connection_timeout=timeout, network_timeout=timeout
        )
        super().__init__(tritonclient.http, client, f"{url} (HTTP)", timeout)

    def _call(self, method: str, **arguments: object) -> Any:
        try:
            # The client's own timeouts start anew at every packet; this one holds for the call.
            with gevent.Timeout(self._timeout):
                return getattr(self._client, method)(**arguments)
        except (gevent.Timeout, TimeoutError) as error:
            raise self._late() from error
        except (OSError, HTTPParseError) as error:
            raise self._unavailable(str(error)) from error
