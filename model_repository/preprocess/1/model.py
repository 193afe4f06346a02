"""The Triton side of preprocessing: tensors in and out, one answer a request."""

import json
from collections.abc import Mapping

import triton_python_backend_utils as pb_utils

from clip_har.calls import refusal
from clip_har.contract import FRAMES, MEDIA, TIMES
from clip_har.media import MediaError, MediaSettings, frames_from_batch
from clip_har.parameters import load_explained, settings_from_config


class TritonPythonModel:
    """Decodes the media of each request."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Reads the parameters. One that is wrong fails the load, with one line that says why."""
        with load_explained(pb_utils):
            self.settings = settings_from_config(json.loads(args["model_config"]), MediaSettings)

    def execute(self, requests: list) -> list:
        """Answers each request by itself: an error stays with the request that caused it."""
        return [self._response(request) for request in requests]

    def _response(self, request: object) -> object:
        try:
            media = pb_utils.get_input_tensor_by_name(request, MEDIA.name).as_numpy()  # (B, 1)
            frames, times = frames_from_batch(media.reshape(-1).tolist(), self.settings)
        except Exception as error:
            return refusal(
                pb_utils, "preprocess", error, task="Preprocessing", for_sender=MediaError
            )
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(FRAMES.name, frames), pb_utils.Tensor(TIMES.name, times)]
        )
