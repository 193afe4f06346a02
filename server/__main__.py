"""python -m server install | run | status"""

import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from server.address import LOCALHOST, Endpoints
from server.discovery import find_server
from server.errors import ServerError
from server.interruption import exit_on_signals, tie_to_parent
from server.process import RunningServer, prepare

app = typer.Typer(
    help="Finds or installs a Triton Inference Server and runs it on a model repository.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out, err = Console(highlight=False), Console(stderr=True, highlight=False)

Port = Annotated[int, typer.Option(min=0, max=65535)]


@app.command()
def install() -> None:
    """Make this machine able to serve: .triton/venv, and Triton itself where there is none."""
    from server.installation import install as install_all

    start = time.perf_counter()
    with _failures_told(), _progress("looking") as announce:
        installation = install_all(announce)
    server = installation.server
    origin = "installed" if server.bundled else "found on this machine and used"
    took = (
        f"done in {time.perf_counter() - start:.0f} s" if installation.changed else "nothing to do"
    )
    out.print(
        f"Triton {server.version_text} ({origin}): {server.executable}; {took}", soft_wrap=True
    )


@app.command()
def run(
    repository: Annotated[Path, typer.Argument(help="Folder of models to serve.")],
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- COMMAND ...]",
            help="Run this when the server is ready, then stop. {grpc_url}, {http_url} and "
            "{metrics_url} in its words become host:port.",
        ),
    ] = None,
    http_port: Port = 8000,
    grpc_port: Port = 8001,
    metrics_port: Port = 8002,
    address: Annotated[str, typer.Option(help="IPv4 address to listen on.")] = LOCALHOST,
    canary_seconds: Annotated[float, typer.Option(help="Time between test inferences.")] = 5.0,
    accept_loads: Annotated[
        bool,
        typer.Option(help="Let `python -m builder publish --url` change what is served."),
    ] = False,
    cache_mib: Annotated[int, typer.Option(min=0, help="Memory for remembered answers.")] = 0,
) -> None:
    """Serve a model repository until Ctrl-C, or while COMMAND runs. Port 0 is any free one."""
    from server.supervisor import Supervision, supervise

    with _failures_told():
        supervision = Supervision.from_table({"canary_seconds": canary_seconds}, "options")
        with exit_on_signals():
            endpoints = Endpoints(address, http_port, grpc_port, metrics_port)
            server = prepare(repository, endpoints, accept_loads=accept_loads, cache_mib=cache_mib)
            try:
                with _progress(f"starting Triton on {repository}"):
                    server.start()
                _tell_urls(server)
                if command:
                    sys.exit(_run_command(command, server))
                supervise(server, supervision, lambda text: err.print(text, soft_wrap=True))
            finally:
                server.stop()


@app.command()
def status(
    url: Annotated[str, typer.Option(help="host:port of the server's HTTP.")] = f"{LOCALHOST}:8000",
) -> None:
    """Show which Triton is found, its Python environment, and whether the server at URL answers."""
    with _failures_told():
        out.print(_installed_table())
    answers = _tell_answers(url)
    raise typer.Exit(0 if answers else 1)


def _installed_table() -> Table:
    from server.environment import VENV, read_environment

    server = find_server()
    table = Table("", "version", "where")
    if server is None:
        table.add_row("tritonserver", "none", "python -m server install")
    else:
        table.add_row("tritonserver", server.version_text, str(server.executable))
    try:
        environment = read_environment(VENV)
    except ServerError as error:
        table.add_row("serving environment", "none", str(error))
        return table
    table.add_row("python", environment.python, str(VENV))
    table.add_row("numpy", environment.numpy or "none", "")
    table.add_row("onnxruntime", environment.onnxruntime or "none", "")
    return table


def _tell_answers(url: str) -> bool:
    from server.process import ANSWER_TIMEOUT
    from server.readiness import check_models

    try:
        checks = check_models(url, ANSWER_TIMEOUT)
    except ConnectionError as error:
        err.print(str(error), soft_wrap=True)
        return False
    table = Table("model", "asked by", "answer", "ms")
    for check in checks:
        spent = f"{check.milliseconds:.0f}" if check.milliseconds else ""
        table.add_row(check.model, check.how, check.fault or "good", spent)
    out.print(table)
    return bool(checks) and not any(check.fault for check in checks)


def _tell_urls(server: RunningServer) -> None:
    out.print(
        f"ready: http {server.http_url}  grpc {server.grpc_url}  "
        f"metrics {server.metrics_url}/metrics  log {server.log_path}",
        soft_wrap=True,
    )


def _run_command(command: list[str], server: RunningServer) -> int:
    """Runs the user's command to its end and gives its exit code, 128 + n for signal n."""
    urls = {
        "{grpc_url}": server.grpc_url,
        "{http_url}": server.http_url,
        "{metrics_url}": server.metrics_url,
    }
    for placeholder, url in urls.items():
        command = [word.replace(placeholder, url) for word in command]
    try:
        process = subprocess.Popen(command, preexec_fn=tie_to_parent)
    except OSError as error:
        raise ValueError(f"cannot run {command[0]}: {error.strerror}") from error
    try:
        code = process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
    return code if code >= 0 else 128 - code


@contextmanager
def _progress(first: str) -> Generator[Callable[[str], None]]:
    """A spinner on stderr whose text can be changed."""
    with err.status(first) as status:
        yield status.update


@contextmanager
def _failures_told() -> Generator[None]:
    """Shows what the user can mend as one message: exit code 2 for bad input, 1 for failures."""
    try:
        yield
    except ValueError as error:
        _end(error, 2)
    except ServerError as error:
        _end(error, 1)


def _end(error: Exception, code: int) -> NoReturn:
    err.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    app(prog_name="python -m server")
