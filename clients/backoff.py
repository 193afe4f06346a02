"""How long a request may take, and when a refused one is sent again."""

import math
import random
import time
from dataclasses import dataclass

from clients.errors import ServerOverloaded


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits a random time, of twice the length at each try, so that callers do not come back
    together.
    """

    first: float = 0.05
    """Longest wait before the second try, in seconds."""
    longest: float = 2.0
    """Longest wait before any try, in seconds."""
    tries: int = 8
    """Most times that a request is sent; 1 gives up at once."""


class Deadline:
    """The moment at which an answer comes too late."""

    def __init__(self, seconds: float = math.inf) -> None:
        """It comes in `seconds` from now."""
        self.seconds = seconds
        self._moment = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until then, never below 0."""
        return max(self._moment - time.monotonic(), 0.0)


class Patience:
    """The tries of one request: they end with the backoff's or at the deadline."""

    def __init__(self, backoff: Backoff, deadline: Deadline) -> None:
        """All tries together end at the deadline."""
        self._backoff = backoff
        self._deadline = deadline
        self._refused = 0

    def pause(self, refusal: ServerOverloaded) -> float:
        """Seconds to wait before the next try; raises the refusal where there is none."""
        longest = min(self._backoff.first * 2**self._refused, self._backoff.longest)
        wait = random.uniform(0, longest)
        self._refused += 1
        if self._refused >= self._backoff.tries or wait >= self._deadline.left():
            raise refusal
        return wait
