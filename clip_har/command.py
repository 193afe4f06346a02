"""How a command line ends: with a message and an exit code, never with a user's traceback."""

import sys

import typer
from rich.console import Console
from rich.markup import escape


def run_command_line(app: typer.Typer, name: str) -> None:
    """Runs an app; what the user can mend is one message and exit code 2."""
    try:
        app(prog_name=f"python -m {name}")
    except (ValueError, ModuleNotFoundError) as error:
        Console(stderr=True).print(f"[red]error:[/red] {escape(str(error))}", highlight=False)
        sys.exit(2)
