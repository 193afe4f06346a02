"""The Triton side of timelines: a long video in, one response a segment while it is decoded."""

import json
from collections.abc import Mapping
from contextlib import closing

import numpy as np
import triton_python_backend_utils as pb_utils

from clip_har.calls import Calls, refusal
from clip_har.contract import END, MEDIA, PROBS, START
from clip_har.parameters import load_explained, settings_from_config
from clip_har.timeline import TimelineSettings, segments_from_video


class TritonPythonModel:
    """Tells what happens from when to when in the video of each request."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Reads the parameters. One that is wrong fails the load, with one line that says why."""
        with load_explained(pb_utils):
            self.settings = settings_from_config(json.loads(args["model_config"]), TimelineSettings)
            self.calls = Calls(pb_utils, self.settings.places)

    def execute(self, requests: list) -> None:
        """Sends the responses of one video after another; returns when the last is done."""
        for request in requests:
            sender = request.get_response_sender()
            refused = None
            try:
                self._send_segments(request, sender)
            except Exception as error:
                if not sender.is_cancelled():
                    refused = refusal(pb_utils, "har_timeline", named(error))
            # An error is the last response: a stream may end with it.
            sender.send(refused, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def _send_segments(self, request: object, sender: object) -> None:
        media = pb_utils.get_input_tensor_by_name(request, MEDIA.name).as_numpy()  # (1, 1)
        segments = segments_from_video(
            media.reshape(-1)[0], self.settings, self.calls, sender.is_cancelled
        )
        with closing(segments):
            for segment in segments:
                tensors = [
                    pb_utils.Tensor(START.name, np.array([[segment.start]], np.float32)),  # (1, 1)
                    pb_utils.Tensor(END.name, np.array([[segment.end]], np.float32)),  # (1, 1)
                    pb_utils.Tensor(PROBS.name, segment.probs[None]),  # (1, K)
                ]
                sender.send(pb_utils.InferenceResponse(tensors))


def named(error: Exception) -> Exception:
    """Says which input is to blame: a stream's errors have no status that would tell."""
    return ValueError(f"{MEDIA.name}: {error}") if isinstance(error, ValueError) else error
