"""What the preprocessing mode `scaled_jpeg` saves, and what it changes.

    python benchmarks/scaled_jpeg.py build/demo build/media/stills --enlarge 4000x3000

The encoder and classifier of a built product look at both versions of every picture. S side of the
model's input, D embedding.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import process_time
from typing import Annotated, Any

import numpy as np
import typer
from media_set import QUALITY
from rival import Line

from clip_har.limits import Limits
from clip_har.media import frames_from_media
from clip_har.progress import progress_bar

app = typer.Typer(add_completion=False)


@app.command()
def main(
    product: Annotated[Path, typer.Argument(help="A built product with a temporal model.")],
    pictures: Annotated[Path, typer.Argument(help="Folder of JPEG files.")],
    enlarge: Annotated[str, typer.Option(help="WIDTHxHEIGHT to enlarge them to first.")] = "",
) -> None:
    """Prints one line of figures."""
    reference = json.loads((product / "manifest.json").read_text())["models"]["vision_encoder"]
    line = Line(product, 1, _side(product), 1, 1)
    rows = [_compared(line, data) for data in _files(pictures, enlarge)]
    exact, scaled, difference, cosine, same = (list(column) for column in zip(*rows, strict=True))
    print(
        f"{len(rows)} pictures {enlarge}, encoder {reference['engine']} {reference['precision']}: "
        f"CPU ms {1e3 * median(exact):.1f} exact, {1e3 * median(scaled):.1f} scaled, ratio "
        f"{median(e / s for e, s in zip(exact, scaled, strict=True)):.2f}; pixels differ by "
        f"{np.mean(difference):.2f} of 255 in the mean; cosine of embeddings "
        f"{np.mean(cosine):.5f} mean, {min(cosine):.5f} least; same first class {np.mean(same):.3f}"
    )


def _compared(line: Line, data: bytes) -> tuple[float, float, float, float, bool]:
    """Seconds of both, mean difference of pixels, cosine, and whether the first class is equal."""
    size = line.settings.image_size
    spent: list[float] = []
    seen: list[Any] = []
    for scaled in (False, True):
        started = process_time()
        frames, _ = frames_from_media(data, 1, size, Limits(), 1, scaled)  # (1, S, S, 3)
        spent.append(process_time() - started)
        seen.append(frames)
    times = np.zeros((1, 1), np.float32)
    embeds = [line.encoders[0].run({"FRAMES": one[None]})["FRAME_EMBEDS"][0, 0] for one in seen]
    classes = [line.classified(line.encoders[0], [(one[None], times)]).argmax() for one in seen]
    difference = np.abs(seen[0].astype(int) - seen[1]).mean()
    return *spent, float(difference), float(embeds[0] @ embeds[1]), bool(classes[0] == classes[1])


def _files(folder: Path, enlarge: str) -> Iterator[bytes]:
    from PIL import Image

    for path in progress_bar(sorted(folder.iterdir()), "pictures"):
        if not enlarge:
            yield path.read_bytes()
            continue
        width, height = map(int, enlarge.split("x"))
        file = io.BytesIO()
        larger = Image.open(path).resize((width, height), Image.Resampling.BICUBIC)
        larger.save(file, "JPEG", quality=QUALITY)
        yield file.getvalue()


def _side(product: Path) -> int:
    from serving_efficiency import parameter

    config = (product / "model_repository" / "preprocess" / "config.pbtxt").read_text()
    return int(parameter(config, "image_size"))


if __name__ == "__main__":
    app()
