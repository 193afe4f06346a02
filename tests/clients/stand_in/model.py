"""Stand-ins for the served models: the same contract, answers that a test can reckon by hand.

The order-blind model reads the mean colour of a clip, the order-aware ones also whether it grows
brighter or darker. `parameters` of config.pbtxt choose what a model does.
"""

import json
import time

import numpy as np
import triton_python_backend_utils as pb_utils

from clip_har.media import Limits, MediaError, clip_from_media
from clip_har.sampling import every_frame

LABELS = ["red", "green", "blue", "brightening", "darkening"]
K = D = 5


def frames_of(data: bytes) -> np.ndarray:
    """All frames of a file: (T, H, W, 3)."""
    if data == b"fault":
        raise RuntimeError("the stand-in broke on purpose")
    return np.stack(clip_from_media(data, every_frame, Limits()).frames)


def logits_of(frames: np.ndarray, ordered: bool = True) -> np.ndarray:
    """Scores of the labels: (T, H, W, 3) -> (5,) float32."""
    means = frames.mean(axis=(1, 2)) / 255  # (T, 3)
    change = means[-1].mean() - means[0].mean() if ordered else 0.0
    moved = np.ptp(means.mean(axis=1))
    still = means.mean(axis=0) * (1 - moved)  # (3,)
    return np.array([*still, moved + change, moved - change], np.float32) * 8


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return (weights / weights.sum()).astype(np.float32)


def unit(vector: np.ndarray) -> np.ndarray:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def text_vector(text: bytes) -> np.ndarray:
    """The axis of a label; the middle for any other text."""
    name = text.decode()
    return np.eye(D)[LABELS.index(name)] if name in LABELS else unit(np.ones(D))


class Model:
    """One request at a time; `row` answers one item."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.ordered = settings["ordered"] == "true"
        self.seconds = float(settings["seconds"])

    def execute(self, request):
        time.sleep(self.seconds)
        inputs = [tensor.as_numpy() for tensor in request.inputs()]
        try:
            rows = [self.row(*item) for item in zip(*inputs, strict=True)]
        except MediaError as error:
            return refusal(f"{request.inputs()[0].name()}: {error}")
        (output,) = request.requested_output_names()
        return pb_utils.InferenceResponse([pb_utils.Tensor(output, np.stack(rows))])


class Classify(Model):
    def row(self, media: np.ndarray) -> np.ndarray:
        return softmax(logits_of(frames_of(media[0]), self.ordered))


class Embed(Model):
    def row(self, media: np.ndarray) -> np.ndarray:
        return unit(1 + logits_of(frames_of(media[0])))


class ZeroShot(Model):
    def row(self, media: np.ndarray, texts: np.ndarray) -> np.ndarray:
        logits = logits_of(frames_of(media[0]))  # (5,)
        return softmax(np.array([text_vector(text) @ logits for text in texts]))


class TextEmbed(Model):
    def row(self, texts: np.ndarray) -> np.ndarray:
        return np.stack([text_vector(text) for text in texts]).astype(np.float32)


class RawFrames(Model):
    def row(self, frames: np.ndarray, times: np.ndarray) -> np.ndarray:
        if times[-1] > 100:
            raise MediaError("the frames last too long")
        return softmax(logits_of(frames))


class Stream(Model):
    """Asked with the frame `streams?`, it tells how many are under way."""

    def __init__(self, settings: dict[str, str]) -> None:
        super().__init__(settings)
        self.streams: dict[int, list[np.ndarray]] = {}
        self.times: dict[int, float] = {}

    def execute(self, request):
        stream, flags = request.correlation_id(), request.flags()
        if flags & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START:
            self.streams[stream] = []
        self.stream = stream
        answer = self.late(request) or super().execute(request)
        if flags & pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END:
            del self.streams[stream]
        return answer

    def late(self, request):
        time = json.loads(request.parameters()).get("time")
        last = self.times.get(self.stream, -1.0)
        if time is not None and float(time) <= last:
            return refusal(f"FRAME: {time} came after {last}")
        self.times[self.stream] = last if time is None else float(time)
        return None

    def row(self, frame: np.ndarray) -> np.ndarray:
        if frame[0] == b"streams?":
            return np.full(K, len(self.streams) - 1, np.float32)
        window = self.streams[self.stream]
        window.append(frames_of(frame[0])[0])
        return softmax(logits_of(np.stack(window)))


MODELS = {
    "har_embed": Embed,
    "har_zero_shot": ZeroShot,
    "har_text_embed": TextEmbed,
    "har_temporal_frames": RawFrames,
    "har_stream": Stream,
    "har_brief_stream": Stream,
}


def refusal(message: str):
    error = pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG)
    return pb_utils.InferenceResponse(error=error)


class Timeline:
    """A segment for every run of frames of one colour; asked with `cancelled?`, it counts."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.seconds = float(settings["seconds"])
        self.cancelled = 0

    def execute(self, request) -> None:
        sender = request.get_response_sender()
        media = request.inputs()[0].as_numpy()[0, 0]
        final = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
        try:
            for segment in self.segments(media):
                if sender.is_cancelled():
                    self.cancelled += 1
                    break
                sender.send(self.response(*segment))
                time.sleep(self.seconds)
        except MediaError as error:
            sender.send(refusal(f"MEDIA: {error}"))
        sender.send(flags=final)

    def segments(self, media: bytes):
        if media == b"cancelled?":
            yield float(self.cancelled), 0.0, softmax(np.zeros(K))
            return
        frames = frames_of(media)
        for second, frame in enumerate(frames):
            yield float(second), second + 1.0, softmax(logits_of(frame[None]))

    def response(self, start: float, end: float, probs: np.ndarray):
        values = {"START": [start], "END": [end], "PROBS": probs}
        tensors = [
            pb_utils.Tensor(name, np.asarray(value, np.float32)[None])
            for name, value in values.items()
        ]
        return pb_utils.InferenceResponse(tensors)


class TritonPythonModel:
    """What Triton's Python backend calls."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        settings = {name: told["string_value"] for name, told in config["parameters"].items()}
        name = args["model_name"]
        self.decoupled = name == "har_timeline"
        self.model = (Timeline if self.decoupled else MODELS.get(name, Classify))(settings)

    def execute(self, requests):
        answers = [self.model.execute(request) for request in requests]
        return None if self.decoupled else answers
