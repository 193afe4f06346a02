"""`python -m clients web`: a page for people who would rather look."""

from typing import Annotated

import typer
from rich.console import Console

from clients.address import DEFAULT_URLS


def web(
    url: Annotated[str, typer.Option(help="HOST:PORT of a server's gRPC.")] = DEFAULT_URLS["grpc"],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any free one.")] = 8080,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds an answer may take.")] = 60.0,
) -> None:
    """Show a web page to look at what the server sees, until Ctrl-C."""
    from clients.web.application import application
    from clients.web.guard import names_of
    from clients.web.launch import listening, serve

    page = application(url, names_of(host), timeout)
    with listening(host, port) as listener:
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{listener.getsockname()[1]}/"
        Console(soft_wrap=True, highlight=False).print(f"{address} shows what {url} sees; Ctrl-C")
        serve(page, listener)
