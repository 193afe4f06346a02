"""Runs of a graph side by side, each on its share of the CPU's cores.

A run that has all cores waits at each of its steps for the slowest of them, and beside whoever
decodes there always is a slow one. Runs that have a core each wait for nobody.
"""

from collections.abc import Callable, Sequence
from threading import Condition, Thread
from time import monotonic
from typing import Generic, TypeVar

from server.backends.runs import RunLimits, Waiting, without

Graph = TypeVar("Graph")

PATIENCE = 1 / 8
"""Of the time of the last run: so long a free lane waits for one more request, while others have
more under way. A run reads every weight, for however few requests."""


class Lanes(Generic[Graph]):
    """A thread for each graph, to run it in; what waits is shared so that all get as much."""

    def __init__(
        self,
        graphs: Sequence[Graph],
        limits: RunLimits,
        work: Callable[[Graph, Sequence[Waiting]], None],
    ):
        """`work` answers the requests of a run; it must not raise, for nobody would hear of it."""
        self._limits = limits
        self._work = work
        self._changed = Condition()
        self._open = True
        self._free = len(graphs)
        self._waiting: list[Waiting] = []
        self._under_way = 0  # requests
        self._last_arrival = 0.0  # on the clock
        self._run_seconds = 0.0
        self._threads = [Thread(target=self._serve, args=(graph,), daemon=True) for graph in graphs]
        for thread in self._threads:
            thread.start()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        with self._changed:
            return not self._waiting and not self._under_way

    def add(self, requests: Sequence[Waiting]) -> None:
        """Has requests answered; returns when a lane would take more."""
        with self._changed:
            self._waiting += requests
            self._last_arrival = monotonic()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._free and not self._next_run()[1])

    def close(self) -> None:
        """Returns when all is answered."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _serve(self, graph: Graph) -> None:
        while run := self._begun_run():
            begun = monotonic()
            try:
                self._work(graph, run)
            finally:
                self._end(run, monotonic() - begun)
            del run  # its tensors: the next one may be long in coming

    def _begun_run(self) -> Sequence[Waiting]:
        """The next run, when its time has come; none when all is over."""
        with self._changed:
            while self._open or self._waiting:
                run, ready = self._next_run()
                left = self._last_arrival + PATIENCE * self._run_seconds - monotonic()
                if run and (ready or left <= 0 or not self._open):
                    self._waiting = without(self._waiting, run)
                    self._under_way += len(run)
                    self._free -= 1
                    self._changed.notify_all()
                    return run
                self._changed.wait(left if run else None)
            return []

    def _end(self, run: Sequence[Waiting], seconds: float) -> None:
        with self._changed:
            self._run_seconds = seconds
            self._under_way -= len(run)
            self._free += 1
            self._changed.notify_all()

    def _next_run(self) -> tuple[Sequence[Waiting], bool]:
        """What would run now, and whether it should not wait for more.

        It waits while it is all that there is, and less than the other lanes have.
        """
        if not self._waiting:
            return [], False
        share = -(-(len(self._waiting) + self._under_way) // len(self._threads))
        run, more = self._limits.first_run(self._waiting, share)
        return run, not more or len(run) < len(self._waiting)
