"""A tritonserver: started on a repository, asked whether it answers, stopped without a trace.

`with running(repository) as server:` gives `server.grpc_url`, `server.http_url`, `server.log_path`.
"""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from server.address import ANY_FREE, Endpoints, free_endpoints
from server.command import EXIT_TIMEOUT, command_line
from server.discovery import PRODUCTS, TritonServer, find_server
from server.environment import VENV, check_environment, process_environment, read_environment
from server.errors import ServerError
from server.interruption import tie_to_parent, uninterrupted
from server.log import failure_excerpt
from server.machine import SHARED_MEMORY, check_shared_memory, find_libpython
from server.readiness import check_models, is_up

START_TIMEOUT = 300.0
"""Seconds until a server that is still loading is given up."""
ANSWER_TIMEOUT = 30.0
"""Seconds until a model that does not answer counts as broken."""
POLL_SECONDS = 0.1


class RunningServer:
    """One tritonserver process and what belongs to it."""

    def __init__(
        self,
        triton: TritonServer,
        repository: Path,
        endpoints: Endpoints,
        log_path: Path,
        *,
        accept_loads: bool = False,
        cache_mib: int = 0,
    ):
        self.endpoints = endpoints
        self.log_path = log_path
        self._shm_prefix = f"triton_python_backend_shm_region_{uuid.uuid4().hex[:12]}_"
        self._command = command_line(
            triton,
            repository,
            endpoints,
            self._shm_prefix,
            accept_loads=accept_loads,
            cache_mib=cache_mib,
        )
        self._environment = process_environment(VENV, find_libpython())
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def http_url(self) -> str:
        """host:port of HTTP."""
        return self.endpoints.http_url

    @property
    def grpc_url(self) -> str:
        """host:port of gRPC."""
        return self.endpoints.grpc_url

    @property
    def metrics_url(self) -> str:
        """host:port of the metrics."""
        return self.endpoints.metrics_url

    @property
    def pid(self) -> int:
        """Process id of tritonserver."""
        assert self._process is not None, "the server was not started"
        return self._process.pid

    def start(self) -> None:
        """Starts the process and returns when every model answers.

        Raises ServerError with the relevant part of the log when that fails. Call it in the main
        thread: the kernel ends the server with the thread that started it.
        """
        with uninterrupted(), self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
                preexec_fn=tie_to_parent,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not is_up(self.http_url, ANSWER_TIMEOUT):
            if self.wait(POLL_SECONDS) is not None:
                raise self._failure(f"tritonserver ended with code {self._process.returncode}")
            if time.monotonic() > deadline:
                raise self._failure(f"tritonserver was not ready after {START_TIMEOUT:.0f} s")
        if fault := self.fault():
            raise self._failure(fault)

    def fault(self, turn: int | None = None) -> str | None:
        """What is wrong with the server at this moment, None where every model answers.

        With a `turn`, one of them is asked for an inference, the others whether they are ready.
        """
        if self.wait(0) is not None:
            return "tritonserver has ended"
        if dead := _dead_children(self.pid):
            return f"a Python model's process has died ({len(dead)} of them)"
        try:
            checks = check_models(self.http_url, ANSWER_TIMEOUT, turn)
        except ConnectionError as error:
            return str(error)
        return next((f"{check.model}: {check.fault}" for check in checks if check.fault), None)

    def wait(self, seconds: float) -> int | None:
        """The exit code if the process ends within so many seconds, otherwise None."""
        assert self._process is not None, "the server was not started"
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def stop(self, grace: float = EXIT_TIMEOUT + 5) -> None:
        """Ends the server, its Python processes and their shared memory; harmless when repeated.

        `grace` is the seconds it gets to end by itself.
        """
        if self._process is None:
            return
        with uninterrupted():
            if grace > 0 and self._process.poll() is None:
                self._process.terminate()
                self.wait(grace)
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            for region in SHARED_MEMORY.glob(f"{self._shm_prefix}*"):
                region.unlink(missing_ok=True)

    def _failure(self, what: str) -> ServerError:
        return ServerError(f"{what}. From {self.log_path}:\n{failure_excerpt(self.log_path)}")


def prepare(
    repository: Path,
    endpoints: Endpoints = ANY_FREE,
    log_path: Path | None = None,
    *,
    accept_loads: bool = False,
    cache_mib: int = 0,
) -> RunningServer:
    """Checks all that a start needs and gives a server that is not started yet.

    `accept_loads`: models may be loaded and unloaded by request. `cache_mib`: memory for answers
    of models whose response cache is on.

    Raises ValueError where the repository is none, ServerError where this machine cannot serve it.
    """
    _check_repository(repository)
    if accept_loads and cache_mib:
        raise ValueError(
            "a cache of answers does not notice that another version is published, so it would "
            "give old answers: leave out --accept-loads or --cache-mib."
        )
    triton = find_server()
    if triton is None:
        raise ServerError("no tritonserver is installed; run: python -m server install")
    check_environment(read_environment(VENV), triton)
    check_shared_memory()
    free = free_endpoints(endpoints)
    log_path = log_path or PRODUCTS / "logs" / f"server-{free.http_port}.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    log_path.write_bytes(b"")
    return RunningServer(
        triton, repository, free, log_path, accept_loads=accept_loads, cache_mib=cache_mib
    )


@contextmanager
def running(
    repository: Path, endpoints: Endpoints = ANY_FREE, log_path: Path | None = None
) -> Generator[RunningServer]:
    """A server on a repository for the length of a `with` block, on free ports unless told."""
    server = prepare(repository, endpoints, log_path)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def _check_repository(repository: Path) -> None:
    if not repository.is_dir():
        raise ValueError(f"{repository}: no such folder. Build one with: python -m builder")
    if not any(repository.glob("*/config.pbtxt")):
        raise ValueError(
            f"{repository}: no model in it; a model repository holds folders with a config.pbtxt."
        )


def _dead_children(pid: int) -> list[int]:
    """Children that ended and that nobody waited for: Python models that died under a server."""
    dead: list[int] = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # pid (name) state parent ...; the name may hold spaces and brackets
            state, parent = status.read_text().rpartition(")")[2].split()[:2]
            if state == "Z" and int(parent) == pid:
                dead.append(int(status.parent.name))
    return dead
