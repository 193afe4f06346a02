"""The Triton side of live streams: frames of several sequences in, one answer each."""

import json
from collections.abc import Mapping

import triton_python_backend_utils as pb_utils

from clip_har.calls import Calls, refusal
from clip_har.contract import FRAME, PROBS
from clip_har.parameters import settings_from_config
from clip_har.stream import Arrival, Streams, StreamSettings


class TritonPythonModel:
    """Answers each frame for the window of its stream."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Reads the parameters. One that is wrong fails the load, with one line that says why."""
        config = json.loads(args["model_config"])
        idle_seconds = int(config["sequence_batching"]["max_sequence_idle_microseconds"]) / 1e6
        try:
            settings = settings_from_config(config, StreamSettings)
            calls = Calls(pb_utils, settings.places)
        except ValueError as error:
            raise pb_utils.TritonModelException(str(error).replace("\n", " ")) from None
        self.streams = Streams(settings, idle_seconds, calls)

    def execute(self, requests: list) -> list:
        """Answers the frames together: those of all streams are encoded in one request."""
        try:
            answers = self.streams.answers([arrival(request) for request in requests])
        except Exception as error:
            answers = [error] * len(requests)
        return [self._response(answer) for answer in answers]

    def _response(self, answer: object) -> object:
        if isinstance(answer, Exception):
            return refusal(pb_utils, "har_stream", answer)
        return pb_utils.InferenceResponse([pb_utils.Tensor(PROBS.name, answer[None])])  # (1, K)


def arrival(request: object) -> Arrival:
    """A request's frame and what Triton says of its sequence."""
    flags = request.flags()
    frame = pb_utils.get_input_tensor_by_name(request, FRAME.name).as_numpy()  # (1, 1)
    return Arrival(
        stream=request.correlation_id(),
        picture=frame.item(),
        starts=bool(flags & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START),
        ends=bool(flags & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END),
        time=json.loads(request.parameters()).get("time"),
    )
