"""The Triton side of resizing: tensors in and out, one answer a request."""

import json
from collections.abc import Mapping

import triton_python_backend_utils as pb_utils

from clip_har.calls import refusal
from clip_har.contract import FRAMES, RAW_FRAMES, TIMES
from clip_har.limits import MediaError
from clip_har.parameters import load_explained, settings_from_config
from clip_har.raw_frames import RawFrameSettings, resized


class TritonPythonModel:
    """Resizes and crops the frames of each request, exactly as `preprocess` does those of media."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Reads the parameters. One that is wrong fails the load, with one line that says why."""
        with load_explained(pb_utils):
            config = json.loads(args["model_config"])
            self.settings = settings_from_config(config, RawFrameSettings)

    def execute(self, requests: list) -> list:
        """Answers each request by itself: an error stays with the request that caused it."""
        return [self._response(request) for request in requests]

    def _response(self, request: object) -> object:
        try:
            frames, times = (
                pb_utils.get_input_tensor_by_name(request, spec.name).as_numpy()
                for spec in (RAW_FRAMES, TIMES)
            )  # (B, T, H, W, 3), (B, T)
            shaped = resized(frames, times, self.settings)
        except Exception as error:
            return refusal(pb_utils, "resize", error, task="Resizing", for_sender=MediaError)
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(FRAMES.name, shaped), pb_utils.Tensor(TIMES.name, times)]
        )
