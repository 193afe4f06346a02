"""The builder's own answers to some clips, to hold the server's against."""

import hashlib

import numpy as np

from clients.evaluation import max_abs_error
from clients.held_out import HeldOut
from clients.recognizer import Recognizer
from clip_har.config import Config
from clip_har.reference import Reference


class Parity(Config):
    """Largest differences of probabilities between the stages, on the same clips."""

    clips: int
    """Clips compared."""
    torch_onnx: float
    """Trained model against exported graphs, by the builder."""
    onnx_triton: float
    """Exported graphs against the live server."""
    torch_triton: float
    """Trained model against the live server: the whole way."""


def parity(reference: Reference, data: HeldOut, recognizer: Recognizer) -> Parity:
    """Asks the server about every reference clip.

    Raises ValueError if a clip is missing or not the one that the reference was made from.
    """
    onnx_errors: list[float] = []
    torch_errors: list[float] = []
    for clip in reference.clips:
        content = data.file_bytes(clip.path)
        if hashlib.sha256(content).hexdigest() != clip.sha256:
            raise ValueError(
                f"{data.folder / clip.path}: not the file that the reference was made from "
                "(its sha256 differs). Build the repository again for this data set."
            )
        for model, expected in clip.models.items():
            served = recognizer.probabilities(content, model)  # (K,)
            if not len(served) == len(expected.onnx) == len(expected.torch):
                raise ValueError(
                    f"{clip.path}: {model} on the server has {len(served)} classes, but the "
                    f"reference has {len(expected.onnx)}: it belongs to another model."
                )
            onnx_errors.append(max_abs_error(served, np.array(expected.onnx)))
            torch_errors.append(max_abs_error(served, np.array(expected.torch)))
    return Parity(
        clips=len(reference.clips),
        torch_onnx=reference.max_abs_error.torch_onnx,
        onnx_triton=max(onnx_errors),
        torch_triton=max(torch_errors),
    )
