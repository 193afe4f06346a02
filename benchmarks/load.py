"""Load on a served model: callers that each wait for an answer before they ask again."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import numpy as np

from clip_har.contract import MEDIA, PROBS

TIMEOUT = 60.0


class Answer(NamedTuple):
    """One answered request."""

    at: float
    """Seconds from the start of the load to its answer."""
    latency: float
    """Seconds that it took."""


def closed_loop(
    url: str, model: str, files: Sequence[bytes], concurrency: int, seconds: float
) -> list[Answer]:
    """Answers over gRPC to so many callers in so many seconds, in the order of their coming.

    Each caller has a place of its own in `files` to begin at, and a request for each of them ready.
    Raises tritonclient's InferenceServerException where a request fails.
    """
    from tritonclient.grpc import InferenceServerClient

    requests = [[media_input(data)] for data in files]
    answers: list[Answer] = []
    faults: list[Exception] = []
    start = monotonic()

    def call(first: int, client: Any) -> None:
        index = first
        try:
            while (sent := monotonic()) < start + seconds and not faults:
                request = requests[index % len(requests)]
                client.infer(model, request, client_timeout=TIMEOUT)
                answers.append(Answer(monotonic() - start, monotonic() - sent))
                index += 1
        except Exception as error:
            faults.append(error)

    with InferenceServerClient(url) as client:
        starts = [n * len(files) // concurrency for n in range(concurrency)]
        callers = [threading.Thread(target=call, args=(first, client)) for first in starts]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    if faults:
        raise faults[0]
    return answers


def media_input(data: bytes) -> Any:
    """One file as a request's input, ready to send again and again."""
    from tritonclient.grpc import InferInput

    tensor = InferInput(MEDIA.name, [1, 1], MEDIA.dtype)
    tensor.set_data_from_numpy(np.array([[data]], object))
    return tensor


def probabilities(url: str, model: str, data: bytes) -> Any:
    """PROBS (1, K) of one file."""
    from tritonclient.grpc import InferenceServerClient

    with InferenceServerClient(url) as client:
        return client.infer(model, [media_input(data)]).as_numpy(PROBS.name)


def rate(times: Sequence[float], warm_up: float, end: float) -> float:
    """Answers a second from `warm_up` to `end`, of times in seconds since the load began.

    Answers to what was under way when the load ended do not count: by then it falls off.
    """
    return sum(warm_up < at <= end for at in times) / (end - warm_up)


def session_cpu_seconds(session: int) -> float:
    """CPU time so far of all living processes of a session, as Linux counts it."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[3]) == session:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
