"""A closed-loop load: so many callers, each of which asks again as soon as it is answered."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from clients.async_recognizer import AsyncRecognizer
from clients.errors import RecognizerError, ServerUnavailable


@dataclass(slots=True)
class Load:
    """What a load came to."""

    seconds: float = 0.0
    """From the first request to the last answer."""
    latencies_ms: list[float] = field(default_factory=list[float])
    """Of each answered request."""
    errors: Counter[str] = field(default_factory=Counter[str])
    """Requests that were not answered, by the kind of the error."""

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return len(self.latencies_ms) / self.seconds

    def percentile_ms(self, share: float) -> float | None:
        """The latency that this percentage of the answers kept below, None without answers."""
        return float(np.percentile(self.latencies_ms, share)) if self.latencies_ms else None


async def loaded(
    recognizer: AsyncRecognizer,
    media: Sequence[bytes],
    model: str,
    concurrency: int,
    seconds: float,
) -> Load:
    """Asks about the media in turn for so many seconds, `concurrency` requests at a time.

    The first answer to each caller is waited for before the clock starts, and not counted. Raises
    ServerUnavailable if the server goes away.
    """
    load = Load()
    turns = count()
    unmeasured = [media[next(turns) % len(media)] for _ in range(concurrency)]
    await asyncio.gather(*(_asked(recognizer, one, model, Load()) for one in unmeasured))
    start = time.perf_counter()

    async def caller() -> None:
        while time.perf_counter() - start < seconds:
            await _asked(recognizer, media[next(turns) % len(media)], model, load)

    await asyncio.gather(*(caller() for _ in range(concurrency)))
    load.seconds = time.perf_counter() - start
    return load


async def _asked(recognizer: AsyncRecognizer, media: bytes, model: str, load: Load) -> None:
    try:
        seen = await recognizer.classify(media, model)
    except ServerUnavailable:
        raise
    except RecognizerError as error:
        load.errors[error.kind] += 1
        await asyncio.sleep(0.01)  # a refusal comes at once: to ask again at once is no load
    else:
        load.latencies_ms.append(seen.latency_ms)
