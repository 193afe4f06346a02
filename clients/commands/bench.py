"""`bench`: how much a server takes."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from clients.commands.options import Csv, Json, Model, Paths, Spoken, Url
from clip_har.contract import HAR_TEMPORAL

if TYPE_CHECKING:
    from clients.load import Load


def bench(
    paths: Paths,
    model: Model = HAR_TEMPORAL.name,
    concurrency: Annotated[
        list[int], typer.Option(min=1, help="Requests at a time; repeat it for several runs.")
    ] = [1, 4, 8],  # noqa: B006  (typer copies it)
    seconds: Annotated[float, typer.Option(min=0.1, help="Length of each run.")] = 10.0,
    json: Json = False,
    csv: Csv = False,
    url: Url = None,
    protocol: Spoken = "grpc",
) -> None:
    """Measure throughput and latency of a classifier under load.

    Each caller asks again as soon as it is answered; refused requests count as errors and are not
    sent again. Give it many different files: a server with a response cache knows the old ones.
    """
    import asyncio

    from clients.async_recognizer import AsyncRecognizer
    from clients.backoff import Backoff
    from clients.commands.printing import form_of, say_records, watched
    from clients.load import loaded
    from clients.sources import bytes_of, find_media
    from clients.table import load_table

    form = form_of(json, csv)
    media = [bytes_of(path) for path in find_media(paths)]

    async def run(callers: int) -> "Load":
        async with AsyncRecognizer(url, protocol=protocol, backoff=Backoff(tries=1)) as asked:
            return await loaded(asked, media, model, callers, seconds)

    records = [
        _record(callers, asyncio.run(run(callers)))
        for callers in watched(concurrency, f"bench {model}", form)
    ]
    title = f"{model} over {protocol}, {len(media)} files"
    say_records(records, load_table(title, records), form)
    raise typer.Exit(int(any(record["errors"] for record in records)))


def _record(concurrency: int, load: "Load") -> dict[str, Any]:
    told: dict[str, Any] = {
        "concurrency": concurrency,
        "seconds": round(load.seconds, 3),
        "answers": len(load.latencies_ms),
        "answers_per_second": round(load.throughput, 3),
    }
    for share in (50, 95, 99):
        latency = load.percentile_ms(share)
        told[f"p{share}_ms"] = None if latency is None else round(latency, 3)
    kinds = [f"{kind}: {count}" for kind, count in load.errors.items()]
    return told | {"errors": load.errors.total(), "kinds": ", ".join(kinds)}
