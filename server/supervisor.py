"""Keeps a server answering: asks it again and again, and starts it anew when it does not."""

import time
from collections import deque
from collections.abc import Callable

from pydantic import Field

from clip_har.config import Config
from server.errors import ServerError
from server.process import RunningServer


class Supervision(Config):
    """How closely a server is watched."""

    canary_seconds: float = Field(default=5.0, gt=0)
    """Time between two test inferences, each of the next model."""
    failures: int = Field(default=2, ge=1)
    """Test inferences that must fail in a row before a living server is restarted."""
    restarts: int = Field(default=5, ge=0)
    """Restarts within `window_seconds` after which the supervisor gives up."""
    window_seconds: float = Field(default=600.0, gt=0)
    """Span of time in which restarts are counted."""


def supervise(
    server: RunningServer, supervision: Supervision, announce: Callable[[str], None]
) -> None:
    """Watches a started server until a signal ends the program; `announce` hears of restarts.

    Raises ServerError when the server fails again and again.
    """
    restarts: deque[float] = deque()
    failures = turn = 0
    while True:
        ended = server.wait(supervision.canary_seconds) is not None
        fault = server.fault(turn)
        failures = failures + 1 if fault else 0
        turn += 0 if fault else 1  # a model that failed is asked again
        if fault is None or not (ended or failures >= supervision.failures):
            continue
        _spend_restart(restarts, supervision, fault)
        announce(f"{fault}; restarting the server")
        server.stop(grace=0)  # a server with a dead Python process would only wait for it
        server.start()
        announce(f"the server answers again at {server.http_url}")
        failures = 0


def _spend_restart(restarts: deque[float], supervision: Supervision, fault: str) -> None:
    now = time.monotonic()
    while restarts and restarts[0] < now - supervision.window_seconds:
        restarts.popleft()
    if len(restarts) >= supervision.restarts:
        raise ServerError(
            f"the server failed again after {supervision.restarts} restarts within "
            f"{supervision.window_seconds:.0f} s: {fault}"
        )
    restarts.append(now)
