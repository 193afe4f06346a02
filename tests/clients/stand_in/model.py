"""A stand-in for the served models: the same contract, answers that a test can reckon by hand.

The order-blind model reads the mean colour of a clip, the order-aware one also whether it grows
brighter or darker. `parameters` of config.pbtxt choose what a model does.
"""

import json
import time

import numpy as np
import triton_python_backend_utils as pb_utils

from clip_har.media import Limits, MediaError, clip_from_media
from clip_har.sampling import every_frame


def logits_of(data: bytes, ordered: bool) -> np.ndarray:
    """Scores of red, green, blue, brightening, darkening: (5,) float32."""
    frames = np.stack(clip_from_media(data, every_frame, Limits()).frames)  # (T, H, W, 3)
    means = frames.mean(axis=(1, 2)) / 255  # (T, 3)
    change = means[-1].mean() - means[0].mean() if ordered else 0.0
    moved = np.ptp(means.mean(axis=1))
    still = means.mean(axis=0) * (1 - moved)  # (3,)
    return np.array([*still, moved + change, moved - change], np.float32) * 8


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        settings = {name: told["string_value"] for name, told in config["parameters"].items()}
        self.ordered = settings["ordered"] == "true"
        self.seconds = float(settings["seconds"])
        self.output = config["output"][0]["name"]

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        time.sleep(self.seconds)
        media = pb_utils.get_input_tensor_by_name(request, "MEDIA").as_numpy()  # (B, 1)
        try:
            rows = [self.row(data) for data in media[:, 0]]
        except MediaError as error:
            refusal = pb_utils.TritonError(f"MEDIA: {error}", pb_utils.TritonError.INVALID_ARG)
            return pb_utils.InferenceResponse(error=refusal)
        return pb_utils.InferenceResponse([pb_utils.Tensor(self.output, np.stack(rows))])

    def row(self, data: bytes) -> np.ndarray:
        if data == b"fault":
            raise RuntimeError("the stand-in broke on purpose")
        logits = logits_of(data, self.ordered)
        if self.output == "EMBEDDING":
            return ((1 + logits) / np.linalg.norm(1 + logits)).astype(np.float32)
        weights = np.exp(logits - logits.max())
        return (weights / weights.sum()).astype(np.float32)
