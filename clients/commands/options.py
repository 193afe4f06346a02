"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

from clients.address import Protocol

Paths = Annotated[list[str], typer.Argument(help="Files, folders and glob patterns.")]
Url = Annotated[
    str | None,
    typer.Option(help="HOST:PORT of the server.", show_default="this machine, 8001 or 8000"),
]
Spoken = Annotated[Protocol, typer.Option("--protocol", help="How to talk to it.")]
Model = Annotated[str, typer.Option(help="Served model to ask.")]
TopK = Annotated[int, typer.Option(min=1, help="Classes to show for each answer.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one line a result.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print a table of comma-separated values.")]
Render = Annotated[
    Path | None, typer.Option(help="Write the video here, an MP4 with the answers drawn on it.")
]
