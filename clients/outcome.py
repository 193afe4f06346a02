"""Asks about many files; a bad one does not stop the rest."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from clients.errors import RecognizerError, ServerUnavailable

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Result]):
    """What became of one file."""

    path: Path
    """The file."""
    result: Result | RecognizerError
    """The answer, or why there is none."""

    @property
    def failed(self) -> bool:
        """True where there is no answer."""
        return isinstance(self.result, RecognizerError)


def outcomes(
    ask: Callable[[Path], Result], paths: Iterable[Path], at_a_time: int = 1
) -> Generator[Outcome[Result]]:
    """One outcome for each file, in order; `at_a_time` of them are asked about together.

    Raises ServerUnavailable if the server goes away.
    """
    left = iter(paths)
    with ThreadPoolExecutor(at_a_time) as pool:
        waiting: list[Future[Outcome[Result]]] = []
        try:
            for path in left:
                waiting.append(pool.submit(_outcome, ask, path))
                waiting.extend(
                    pool.submit(_outcome, ask, more)
                    for more in islice(left, at_a_time - len(waiting))
                )
                yield waiting.pop(0).result()
            for one in waiting:
                yield one.result()
        finally:
            for one in waiting:
                one.cancel()


def _outcome(ask: Callable[[Path], Result], path: Path) -> Outcome[Result]:
    try:
        return Outcome(path, ask(path))
    except ServerUnavailable:
        raise
    except RecognizerError as error:
        return Outcome(path, error)
