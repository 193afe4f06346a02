"""`embed` and `search`: media and texts as vectors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from clients.commands.options import Csv, Json, Spoken, Url

if TYPE_CHECKING:
    from clients.commands.printing import Form
    from clients.index import Clip, Vector
    from clients.recognizer import Recognizer

AT_A_TIME = 4
"""Files that are asked about together: the server fills its batches with them."""


def embed(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Files, folders and glob patterns.")
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option("--text", help="A sentence to embed; repeat it for more.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write them here: a NumPy .npz with `names` (N) and `vectors` (N, D)."),
    ] = None,
    json: Json = False,
    csv: Csv = False,
    url: Url = None,
    protocol: Spoken = "grpc",
) -> None:
    """Turn images, videos and sentences into unit vectors of one space.

    The dot product of two of them says how alike they are.
    """
    from clients.commands.printing import form_of, say_written
    from clients.index import write_vectors
    from clients.recognizer import Recognizer
    from clients.sources import find_media

    form = form_of(json, csv)
    if not paths and not text:
        raise ValueError("There is nothing to embed: name files, or sentences with --text.")
    found = find_media(paths or [])
    with Recognizer(url, protocol=protocol) as recognizer:
        vectors = _embedded(recognizer, found, form)
        named = {str(path): vector for path, vector in vectors.items()}
        if text:
            named |= dict(zip(text, recognizer.embed_texts(text), strict=True))
    if out:
        write_vectors(out, named)
        say_written(out)
    if not out or form != "table":
        _show(named, form)
    raise typer.Exit(int(len(vectors) < len(found)))


def search(
    folder: Annotated[Path, typer.Argument(help="Folder of images and videos.")],
    sentence: Annotated[str, typer.Argument(help='What to look for: "a person jumping".')],
    top_k: Annotated[int, typer.Option(min=1, help="Files to show.")] = 5,
    remember: Annotated[
        bool, typer.Option(help="Keep the vectors in the folder, for the next search.")
    ] = True,
    json: Json = False,
    csv: Csv = False,
    url: Url = None,
    protocol: Spoken = "grpc",
) -> None:
    """Find the images and videos of a folder that fit a sentence best.

    Each file is embedded once; only new and changed ones are sent again.
    """
    from clients.commands.printing import form_of
    from clients.index import clip_of, probe_media, ranked, read_index
    from clients.recognizer import Recognizer
    from clients.sources import find_media

    form = form_of(json, csv)
    if not folder.is_dir():
        raise ValueError(f"{folder}: not a folder.")
    clips = {path: clip_of(folder, path) for path in find_media([str(folder)])}
    with Recognizer(url, protocol=protocol) as recognizer:
        (text,) = recognizer.embed_texts([sentence])
        probe = recognizer.embed(probe_media())
        kept = read_index(folder, probe)
        known = {clip: kept[clip] for clip in clips.values() if clip in kept}
        new = [path for path, clip in clips.items() if clip not in known]
        fresh = _embedded(recognizer, new, form)
    known |= {clips[path]: vector for path, vector in fresh.items()}
    if not known:
        raise ValueError(f"{folder}: none of its files could be read.")
    _show_found(folder, sentence, ranked(known, text, top_k), form)
    if remember and known.keys() != kept.keys():
        _remember(folder, probe, known)
    raise typer.Exit(int(len(fresh) < len(new)))


def _show_found(
    folder: Path, sentence: str, best: Sequence[tuple[str, float]], form: "Form"
) -> None:
    from clients.commands.printing import say_records
    from clients.table import found_table

    records = [
        {"rank": rank, "path": str(folder / path), "score": round(score, 6)}
        for rank, (path, score) in enumerate(best, 1)
    ]
    say_records(records, found_table(sentence, records), form)


def _remember(folder: Path, probe: "Vector", known: "Mapping[Clip, Vector]") -> None:
    """Writes the index; a folder that takes none has still been searched."""
    from clients.commands.printing import say_written, warn
    from clients.index import write_index

    try:
        say_written(write_index(folder, probe, known))
    except OSError as error:
        warn(f"{folder}: the vectors cannot be kept there: {error.strerror}; see --no-remember.")


def _embedded(
    recognizer: "Recognizer", paths: Sequence[Path], form: "Form"
) -> "dict[Path, Vector]":
    """The vectors of the files that can be read; of the others it tells why not."""
    from clients.commands.printing import watched
    from clients.errors import RecognizerError
    from clients.outcome import outcomes

    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    vectors: dict[Path, Vector] = {}
    for one in outcomes(recognizer.embed, watched(paths, "embed", form), AT_A_TIME):
        if isinstance(one.result, RecognizerError):
            errors.print(f"[red]✗[/] {escape(str(one.path))}: {escape(str(one.result))}")
        else:
            vectors[one.path] = one.result
    return vectors


def _show(vectors: "dict[str, Vector]", form: "Form") -> None:
    from clients.commands.printing import CsvPrinter, say_json, show
    from clients.table import vector_table

    if form == "table":
        show(vector_table(vectors))
        return
    if form == "json":
        for name, vector in vectors.items():
            say_json({"name": name, "vector": _shortest(vector)})
        return
    size = max((len(vector) for vector in vectors.values()), default=0)
    printer = CsvPrinter(("name", *map(str, range(size))))
    for name, vector in vectors.items():
        printer.row({"name": name} | {str(i): value for i, value in enumerate(_shortest(vector))})


def _shortest(vector: "Vector") -> list[float]:
    """The numbers with no more digits than tell float32 numbers apart."""
    return [float(str(value)) for value in vector]
