"""Asks a running server: `python -m clients classify ...`; `--help` lists the commands."""

import sys
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from clients.commands.bench import bench
from clients.commands.classify import classify, zero_shot
from clients.commands.embed import embed, search
from clients.commands.evaluate import evaluate
from clients.commands.stream import stream
from clients.commands.timeline import timeline
from clients.commands.web import web
from clients.errors import ModelUnavailable, RecognizerError, ServerUnavailable

COMMANDS = {
    "classify": classify,
    "zero-shot": zero_shot,
    "embed": embed,
    "search": search,
    "stream": stream,
    "timeline": timeline,
    "bench": bench,
    "evaluate": evaluate,
    "web": web,
}
START_A_SERVER = "Start one with `make serve`, or with `python -m server run REPOSITORY`."
INSTALL = 'pip install ".[clients]"'
INSTALL_WEB = 'pip install ".[clients,web]"'
WEB_PACKAGES = ("starlette", "uvicorn", "websockets")

app = typer.Typer(
    help="Recognise the action in images and videos with a running server.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for name, command in COMMANDS.items():
    app.command(name)(command)


def main() -> None:
    """Runs the command line; errors that are not ours to debug end without a traceback."""
    try:
        app()
    except ModelUnavailable as error:
        _end(str(error), 1)
    except ServerUnavailable as error:
        _end(f"{error}\n{START_A_SERVER}", 1)
    except RecognizerError as error:
        _end(str(error), 1)
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        install = INSTALL_WEB if package in WEB_PACKAGES else INSTALL
        _end(f"{package} is not installed. Install it with: {install}", 1)
    except OSError as error:
        _end(f"{error.filename}: {error.strerror}." if error.filename else str(error), 1)
    except ValueError as error:
        _end(str(error), 2)


def _end(message: str, code: int) -> NoReturn:
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    errors.print(f"[red]error:[/] {escape(message)}")
    sys.exit(code)


if __name__ == "__main__":
    main()
