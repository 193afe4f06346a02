"""The Triton side of embedding texts: unknown ones go to the text encoder, all of them at once."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from clip_har.calls import Calls, refusal
from clip_har.contract import EMBEDDINGS, NAMES, TEXT_ENCODER, TEXTS
from clip_har.parameters import load_explained, settings_from_config
from clip_har.texts import Lookup, TextBank, TextError, TextSettings
from clip_har.tokenizer import TOKENIZER_FILE, Tokenizer


class TritonPythonModel:
    """Answers from memory what it has seen, and encodes the rest."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Reads parameters and tokenizer. What is wrong fails the load, with one line."""
        with load_explained(pb_utils):
            settings = settings_from_config(json.loads(args["model_config"]), TextSettings)
            self.calls = Calls(pb_utils, settings.places)
        version = Path(args["model_repository"], args["model_version"])
        self.bank = TextBank(settings, Tokenizer(version / TOKENIZER_FILE))

    async def execute(self, requests: list) -> list:
        """Answers each request; what several of them ask anew is encoded once."""
        lookups = [self._looked_up(request) for request in requests]
        unknown: dict[str, list[int]] = {}
        for lookup in lookups:
            unknown |= lookup.unknown if isinstance(lookup, Lookup) else {}
        encoded = await self._encoded(unknown)
        return [
            self._response(lookup, encoded) if isinstance(lookup, Lookup) else lookup
            for lookup in lookups
        ]

    def _looked_up(self, request: object) -> object:
        """What is known of a request's texts, or the response that refuses it."""
        texts, names = (
            pb_utils.get_input_tensor_by_name(request, spec.name) for spec in (TEXTS, NAMES)
        )
        try:
            if (texts is None) == (names is None):
                raise TextError(f"Send either {TEXTS.name} or {NAMES.name}.")
            given = (texts or names).as_numpy()  # (B, N)
            return self.bank.look_up(given, names=texts is None)
        except Exception as error:
            return refused(error)

    async def _encoded(self, unknown: Mapping[str, list[int]]) -> dict[str, np.ndarray] | Exception:
        """The embedding of each sentence, (D,), or why there is none."""
        portions = list(self.bank.batches(unknown))
        try:
            answers = await asyncio.gather(
                *(self.calls.soon(TEXT_ENCODER, tokens) for _, tokens in portions)
            )
        except Exception as error:
            return error
        return {
            sentence: row
            for (names, _), rows in zip(portions, answers, strict=True)
            for sentence, row in zip(names, rows, strict=True)
        }

    def _response(self, lookup: Lookup, encoded: dict[str, np.ndarray] | Exception) -> object:
        if isinstance(encoded, Exception):
            if lookup.unknown:
                return refused(encoded)
            encoded = {}
        rows = self.bank.embeddings(lookup, encoded)  # (B, N, D)
        return pb_utils.InferenceResponse([pb_utils.Tensor(EMBEDDINGS.name, rows)])


def refused(error: Exception) -> object:
    """The response where a request has no answer."""
    return refusal(
        pb_utils, "text_embedder", error, task="Embedding the texts", for_sender=TextError
    )
