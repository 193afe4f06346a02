"""Triton over gRPC. Safe to share between threads."""

# pyright: reportMissingTypeStubs=false

from typing import Any

import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from clients.transport import Transport


class GrpcTransport(Transport):
    """tritonclient's gRPC client; it lifts gRPC's limit of 4 MB a message to 2 GB by itself."""

    def __init__(self, url: str, timeout: float) -> None:
        """`url` is host:port; a request may take `timeout` seconds."""
        client = tritonclient.grpc.InferenceServerClient(url)
        super().__init__(tritonclient.grpc, client, f"{url} (gRPC)", timeout)

    def _call(self, method: str, **arguments: object) -> Any:
        if method != "infer":
            arguments["as_json"] = True
        try:
            return getattr(self._client, method)(client_timeout=self._timeout, **arguments)
        except InferenceServerException as error:
            if error.status() == "StatusCode.DEADLINE_EXCEEDED":
                raise self._late() from error
            raise
