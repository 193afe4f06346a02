"""A picture of a data set: a row a class, middle frames of some clips, splits by colour.

H and W of a decoded frame, S side of a tile.
"""

import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from clip_har.dataset import Clip, DataSet, SplitName
from clip_har.limits import Limits
from clip_har.sampling import centred
from training.decoding import decoded_clip
from training.importers.probe import answers

COLOURS: dict[SplitName, str] = {"train": "#0072b2", "val": "#e69f00", "test": "#009e73"}
"""Told apart by people who are colour-blind."""
SIDE, BORDER, GAP, MARGIN = 96, 4, 4, 240
PER_SPLIT = 3
MOST_CLASSES = 60
_INK, _PAPER, _HOLE = "#222222", "white", "#bbbbbb"
_LINE = 28

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(data: Path, data_set: DataSet) -> bytes:
    """A PNG of up to three clips a split of each class; a grey tile is a clip that cannot be read.

    It shows the first 60 classes and says how many it leaves out.
    """
    shown = data_set.labels[:MOST_CLASSES]
    rows = _chosen(data_set.clips, shown)
    jobs = [(data, clip) for row in rows for clip in row if clip]
    tiles = answers(tile, jobs)
    step = SIDE + 2 * BORDER + GAP
    size = (MARGIN + len(COLOURS) * PER_SPLIT * step + GAP, (len(rows) * step) + 2 * _LINE + GAP)
    sheet = Image.new("RGB", size, _PAPER)
    draw, font = ImageDraw.Draw(sheet), _font()
    _draw_legend(draw, font, step)
    for number, (label, row) in enumerate(zip(shown, rows, strict=True)):
        top = _LINE + number * step
        _draw_label(draw, font, label, top + step // 2)
        _draw_row(sheet, row, tiles, (MARGIN, top), step)
    left_out = len(data_set.labels) - len(shown)
    foot = f"{left_out} more classes are not shown" if left_out else data_set.name
    draw.text((2 * GAP, size[1] - _LINE + GAP), foot, _INK, font)
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    return file.getvalue()


def tile(job: tuple[Path, Clip]) -> Image.Image:
    """The middle frame of a clip, its centre square: (S, S)."""
    data, clip = job
    try:
        frame = decoded_clip(data, clip, centred(1), Limits()).frames[0]  # (H, W, 3)
    except (ValueError, OSError):
        return Image.new("RGB", (SIDE, SIDE), _HOLE)
    return ImageOps.fit(Image.fromarray(frame), (SIDE, SIDE))


def _chosen(clips: Sequence[Clip], labels: Sequence[str]) -> list[list[Clip | None]]:
    """Clips spread over each split of each class; None where a split has no more."""
    of: defaultdict[tuple[str, SplitName], list[Clip]] = defaultdict(list)
    for clip in clips:
        of[clip.label, clip.split].append(clip)
    return [[one for split in COLOURS for one in _spread(of[label, split])] for label in labels]


def _spread(clips: Sequence[Clip]) -> list[Clip | None]:
    count = min(len(clips), PER_SPLIT)
    some = [clips[len(clips) * i // count] for i in range(count)]
    return [*some, *[None] * (PER_SPLIT - count)]


def _draw_row(
    sheet: Image.Image,
    row: Sequence[Clip | None],
    tiles: Iterator[Image.Image | None],
    corner: tuple[int, int],
    step: int,
) -> None:
    for column, clip in enumerate(row):
        if clip is None:
            continue
        picture = next(tiles) or Image.new("RGB", (SIDE, SIDE), _HOLE)
        bordered = ImageOps.expand(picture, BORDER, COLOURS[clip.split])
        sheet.paste(bordered, (corner[0] + column * step, corner[1]))


def _draw_legend(draw: ImageDraw.ImageDraw, font: Font, step: int) -> None:
    for number, (split, colour) in enumerate(COLOURS.items()):
        draw.text((MARGIN + number * PER_SPLIT * step, GAP), split, colour, font)


def _draw_label(draw: ImageDraw.ImageDraw, font: Font, label: str, middle: int) -> None:
    """Writes a label left of the tiles, in as many lines as it needs."""
    lines = [""]
    for word in label.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font) > MARGIN - 4 * GAP and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    draw.text((2 * GAP, middle), "\n".join(lines), _INK, font, anchor="lm")


def _font() -> Font:
    """DejaVu Sans, which comes with matplotlib and knows more letters than Pillow's own."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", 16)
