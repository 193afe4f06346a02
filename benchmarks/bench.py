"""Sweeps of the image and video ensembles on a running server: make bench

    python -m server run build/demo/model_repository -- python benchmarks/bench.py \\
        build/demo build/media --grpc-url {grpc_url} --http-url {http_url}

Callers that wait for their answers (1 to 16 of them), then requests that come by chance (Poisson)
at shares of the throughput that was reached. Writes a table, plots and all figures to
benchmarks/results/.
"""

import sys
from itertools import product as pairs_of
from pathlib import Path
from typing import Annotated

import typer
from media_set import CLIPS, STILLS
from sweep import Point, Server, saturation, write_input
from sweep_report import write_report

from clip_har.contract import HAR_BASE, HAR_TEMPORAL
from clip_har.progress import progress_bar

MEDIA_KINDS = (STILLS, CLIPS)
CONCURRENCIES = (1, 2, 4, 8, 16)
SHARES = (0.5, 0.7, 0.9)
"""Of the highest throughput, as rates of requests."""
RESULTS = Path(__file__).with_name("results")

app = typer.Typer(add_completion=False)


@app.command()
def main(
    product: Annotated[Path, typer.Argument(help="The built product that is served.")],
    media: Annotated[Path, typer.Argument(help="Folder that media_set.py wrote.")],
    grpc_url: Annotated[str, typer.Option(help="HOST:PORT for gRPC.")] = "127.0.0.1:8001",
    http_url: Annotated[str, typer.Option(help="HOST:PORT for HTTP.")] = "127.0.0.1:8000",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = RESULTS,
) -> None:
    """Measures, then writes the results; exits with 2 where something cannot be measured."""
    try:
        points = swept(Server(grpc_url, http_url, media / "input"), media)
    except ValueError as error:
        sys.exit(f"error: {error}")
    for path in write_report(out, product, points):
        print(f"wrote {path}")


def swept(server: Server, media: Path) -> list[Point]:
    """All points; raises ValueError like Server.point, and where no ensemble is served."""
    served = server.models()
    models = [model.name for model in (HAR_BASE, HAR_TEMPORAL) if model.name in served]
    if not models:
        raise ValueError(f"the server has neither {HAR_BASE.name} nor {HAR_TEMPORAL.name}.")
    for kind in MEDIA_KINDS:
        write_input(media / kind, media / "input" / f"{kind}.json")
    points: list[Point] = []
    cases = list(pairs_of(models, MEDIA_KINDS))
    for model, kind in progress_bar(cases, "bench"):
        closed = [server.point(model, kind, "concurrency", n) for n in CONCURRENCIES]
        most = saturation(closed)
        points += closed
        points += [server.point(model, kind, "rate", share * most) for share in SHARES]
    return points


if __name__ == "__main__":
    app()
