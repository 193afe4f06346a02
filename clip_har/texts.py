"""Texts to embeddings: limits for what strangers send, prompts, and a memory of what was encoded.

A text stands for its sentences: a name for one sentence a prompt, anything else for itself. Its
embedding is their mean, of unit length. B rows of N texts, R sentences, L tokens, D embedding.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, Json

from clip_har.config import Config
from clip_har.contract import TEXT_ENCODER, ServedModel
from clip_har.labels import sentences
from clip_har.place import Place, place_from_text
from clip_har.tokenizer import Tokenizer, padded

Embeddings = NDArray[np.float32]
Sentences = tuple[str, ...]
"""What one text stands for."""


class TextError(ValueError):
    """A text that cannot be embedded. The message is meant for the sender."""


class TextSettings(Config):
    """All that the embedding of texts can be told: the parameters of its config.pbtxt."""

    prompts: Json[tuple[str, ...]]
    """Templates that turn a name into sentences, a JSON list; `{}` stands for the name."""
    max_texts: int = Field(default=1000, gt=0)
    """Most texts of a row."""
    max_bytes: int = Field(default=2000, gt=0)
    """Longest text in bytes of UTF-8, checked before it is split into tokens."""
    max_tokens: int = Field(gt=2)
    """Most tokens of a sentence, its start and its end included."""
    cached_texts: int = Field(default=20_000, ge=0)
    """Texts whose embeddings are remembered; beyond, the longest unused one is forgotten."""
    encoder_batch: int = Field(gt=0)
    """Sentences that the text encoder takes at once: its max_batch_size."""
    call_text_encoder: str = "text_encoder/-1"
    """Which text encoder to call, MODEL/VERSION."""

    @property
    def places(self) -> dict[ServedModel, Place]:
        """Which text encoder to call."""
        return {TEXT_ENCODER: place_from_text(self.call_text_encoder)}


@dataclass(frozen=True)
class Lookup:
    """What is known of some texts."""

    texts: Sequence[Sentences]
    """B * N texts, row after row."""
    shape: tuple[int, ...]
    """(B, N)."""
    known: dict[Sentences, Embeddings]
    """Those that were remembered, (D,) each."""
    unknown: dict[str, list[int]]
    """Sentences to encode, with their token ids."""


class TextBank:
    """Reads texts, and remembers their embeddings."""

    def __init__(self, settings: TextSettings, tokenizer: Tokenizer) -> None:
        self._settings = settings
        self._tokenizer = tokenizer
        self._memory: OrderedDict[Sentences, Embeddings] = OrderedDict()

    def look_up(self, texts: NDArray[np.object_], *, names: bool) -> Lookup:
        """What is known of texts (B, N) of bytes; as names, each stands for a sentence a prompt.

        Raises TextError that says which text is wrong.
        """
        count = texts.shape[1]
        self._check_count(count)
        prompts = self._settings.prompts if names else ("{}",)
        read = [self._read(data, _place(i, count)) for i, data in enumerate(texts.ravel().tolist())]
        asked = [tuple(sentences(text, prompts)) for text in read]
        known = {one: self._memory[one] for one in asked if one in self._memory}
        for one in known:
            self._memory.move_to_end(one)
        unknown: dict[str, list[int]] = {}
        for index, one in enumerate(asked):
            if one not in known and not unknown.keys() >= set(one):
                unknown |= self._tokens(one, _place(index, count))
        return Lookup(asked, texts.shape, known, unknown)

    def batches(
        self, unknown: Mapping[str, list[int]]
    ) -> Iterator[tuple[list[str], NDArray[np.int64]]]:
        """Sentences and their TOKENS (R, L) in the portions that the encoder takes, none empty.

        Sentences of like length go together, so that little is padded.
        """
        order = sorted(unknown, key=lambda sentence: len(unknown[sentence]))
        step = self._settings.encoder_batch
        for start in range(0, len(order), step):
            part = order[start : start + step]
            yield part, padded([unknown[sentence] for sentence in part])

    def embeddings(self, lookup: Lookup, encoded: Mapping[str, Embeddings]) -> Embeddings:
        """The texts of a lookup, (B, N, D), once its unknown sentences are encoded."""
        for one in lookup.texts:
            if one not in lookup.known:
                lookup.known[one] = _mean([encoded[sentence] for sentence in one])
                self._remember(one, lookup.known[one])
        rows = np.stack([lookup.known[one] for one in lookup.texts])  # (B * N, D)
        return rows.reshape(*lookup.shape, rows.shape[1])

    def _remember(self, text: Sentences, embedding: Embeddings) -> None:
        self._memory[text] = embedding
        while len(self._memory) > self._settings.cached_texts:
            self._memory.popitem(last=False)

    def _check_count(self, count: int) -> None:
        most = self._settings.max_texts
        if not 0 < count <= most:
            raise TextError(f"{count} texts were sent, but a request has 1 to {most} (max_texts).")

    def _read(self, data: bytes, place: str) -> str:
        most = self._settings.max_bytes
        if len(data) > most:
            raise TextError(
                f"{place} has {len(data)} bytes, but the limit is {most} (max_bytes): shorten it."
            )
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise TextError(f"{place} is not UTF-8: {data[:20]!r}.") from error
        if not text.strip():
            raise TextError(f"{place} is empty: send at least one word.")
        return text

    def _tokens(self, text: Sentences, place: str) -> dict[str, list[int]]:
        most = self._settings.max_tokens
        told = dict(zip(text, self._tokenizer.ids(text), strict=True))
        sentence, longest = max(told.items(), key=lambda item: len(item[1]))
        if len(longest) > most:
            raise TextError(
                f"{place} has {len(longest)} tokens as {sentence[:80]!r}, but the text encoder "
                f"reads {most} (max_tokens): shorten it."
            )
        return told


def _place(index: int, count: int) -> str:
    """Names a text of the B * N, by its place in its row."""
    return f"Text {index % count + 1} of {count}"


def _mean(embeddings: Sequence[Embeddings]) -> Embeddings:
    """Unit embeddings of the sentences of a text, (D,) each, to that of the text, (D,)."""
    mean = np.mean(embeddings, axis=0)
    return mean / np.linalg.norm(mean)
