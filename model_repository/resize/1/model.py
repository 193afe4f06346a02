"""The Triton side of resizing: tensors in and out, one answer a request."""

import json
from collections.abc import Mapping

import triton_python_backend_utils as pb_utils

from clip_har.contract import FRAMES, RAW_FRAMES, TIMES
from clip_har.limits import MediaError
from clip_har.parameters import settings_from_config
from clip_har.raw_frames import RawFrameSettings, resized


class TritonPythonModel:
    """Resizes and crops the frames of each request, exactly as `preprocess` does those of media."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Reads the parameters. One that is wrong fails the load, with one line that says why."""
        try:
            config = json.loads(args["model_config"])
            self.settings = settings_from_config(config, RawFrameSettings)
        except ValueError as error:
            raise pb_utils.TritonModelException(str(error).replace("\n", " ")) from None

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
        except MediaError as error:
            return failure(str(error), pb_utils.TritonError.INVALID_ARG)
        except Exception as error:
            pb_utils.Logger.log_error(f"resize: {type(error).__name__}: {error}")
            return failure(
                f"Resizing failed ({type(error).__name__}); the server's log says more.",
                pb_utils.TritonError.INTERNAL,
            )
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(FRAMES.name, shaped), pb_utils.Tensor(TIMES.name, times)]
        )


def failure(message: str, code: object) -> object:
    """A response that says why there is no answer."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
