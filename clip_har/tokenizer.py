"""CLIP's tokenizer without transformers: texts to the token ids that the text encoder takes.

R texts, L tokens of the longest.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TOKENIZER_FILE = "tokenizer.json"
"""A tokenizer as the `tokenizers` library writes it; part of a checkpoint."""


class Tokenizer:
    """The tokenizer of a checkpoint."""

    def __init__(self, file: Path) -> None:
        """Reads a tokenizer.json."""
        from tokenizers import Tokenizer as Library

        self._library = Library.from_file(str(file))
        self._library.no_padding()
        self._library.no_truncation()

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, between the start and the end token."""
        return [encoding.ids for encoding in self._library.encode_batch(list(texts))]


def padded(ids: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """TOKENS (R, L): each text goes on with its own end token, which CLIP does not look past."""
    longest = max(map(len, ids))
    return np.array([[*row, *[row[-1]] * (longest - len(row))] for row in ids], np.int64)


def tokenizer_file(checkpoint: Path) -> Path:
    """Where a checkpoint's tokenizer is; raises ValueError where it has none."""
    file = checkpoint / TOKENIZER_FILE
    if not file.is_file():
        raise ValueError(
            f"{checkpoint}: no {TOKENIZER_FILE} in it, which the server reads texts with. Save the "
            "checkpoint's tokenizer again with save_pretrained of a CLIPTokenizer of today."
        )
    return file
