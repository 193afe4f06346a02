"""A running Triton that takes up what is published: told in explicit mode, awaited where it polls.

The repository on disk must be consistent before each call, since a poll may come at any moment.
"""

import io
import time
from typing import Any

import numpy as np

from builder.triton_config import ModelConfig, called_places, is_ensemble
from clip_har.contract import MEDIA, OVERLOADED
from clip_har.place import Place

PATIENCE = 300.0
"""Seconds until a server that polls must have taken up a model, and one in demand must answer.
Triton polls every 15 s."""
ANSWER_TIMEOUT = 60.0
"""Seconds that a test inference may take."""
POLL_SECONDS = 0.2
NO_LOADING = "explicit model load / unload is not allowed"
"""What a server says whose control mode is `none` or `poll`."""
IMAGE_SIDE = 64
"""Pixels. Any image will do."""


class PublishingError(RuntimeError):
    """A server did not take up a publication; the message says what it serves now."""


class LiveServer:
    """A connection to a Triton's gRPC."""

    def __init__(self, url: str):
        """Raises ValueError where no Triton answers at `url`, which is host:port."""
        import tritonclient.grpc as triton

        self._triton: Any = triton
        self._client: Any = triton.InferenceServerClient(url)
        self._told = True  # until it says that it cannot be told
        try:
            self._client.get_server_metadata(client_timeout=ANSWER_TIMEOUT)
        except triton.InferenceServerException as error:
            raise ValueError(
                f"{url}: no Triton answers there over gRPC: {error.message()}. Expected HOST:PORT "
                "of a running server; without an address only the folder is changed."
            ) from error

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def take_up(self, model: str, config: ModelConfig) -> None:
        """Returns when the server serves a model as its config.pbtxt now says.

        Raises PublishingError where it does not.
        """
        if not self.serves(model, config):
            self._load(model)
            self._await(model, config)

    def let_go(self, model: str) -> None:
        """Unloads a model whose folder is about to go; a server that polls will see it go."""
        if self._told:
            try:
                self._client.unload_model(model)
            except self._triton.InferenceServerException as error:
                if NO_LOADING not in error.message():
                    raise PublishingError(f"{model} cannot be unloaded: {error}.") from error

    def is_ending(self, place: Place) -> bool:
        """True where a version was unloaded and still answers what was asked of it before."""
        rows = self._index(place.model)
        return any(int(row.version) == place.version and row.state == "UNLOADING" for row in rows)

    def serves(self, model: str, config: ModelConfig) -> bool:
        """True where a configuration's versions, steps and called models are what is loaded."""
        ready = {int(one.version) for one in self._index(model) if one.state == "READY"}
        wanted = [1] if is_ensemble(config) else config.version_policy.specific.versions
        if ready != set(wanted):
            return False
        served = self.served(model)
        return (
            served is not None
            and served.ensemble_scheduling == config.ensemble_scheduling
            and called_places(served) == called_places(config)
        )

    def served(self, model: str) -> ModelConfig | None:
        """The configuration that a model was loaded with, None where none is loaded."""
        try:
            return self._client.get_model_config(model, client_timeout=ANSWER_TIMEOUT).config
        except self._triton.InferenceServerException:
            return None

    def probe(self, model: str, config: ModelConfig) -> None:
        """Asks an ensemble once; raises PublishingError where its answer has no meaning."""
        if config.model_transaction_policy.decoupled:
            return
        inputs = [self._filled(tensor) for tensor in config.input]
        answer = self._answer(model, inputs)
        for tensor in config.output:
            found = answer.as_numpy(tensor.name)
            if found.dtype.kind == "f" and not (found.size and np.isfinite(found).all()):
                raise PublishingError(f"{model}: an answer without meaning in {tensor.name}.")

    def _answer(self, model: str, inputs: list[Any]) -> Any:
        """What a model answers, asked again while its callers are more than it can take."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self._client.infer(model, inputs, client_timeout=ANSWER_TIMEOUT)
            except self._triton.InferenceServerException as error:
                busy = any(said in error.message() for said in OVERLOADED)
                if not busy or time.monotonic() > deadline:
                    raise PublishingError(f"{model} does not answer: {error}.") from error
            time.sleep(POLL_SECONDS)

    def _load(self, model: str) -> None:
        if not self._told:
            return
        try:
            self._client.load_model(model)
        except self._triton.InferenceServerException as error:
            if NO_LOADING not in error.message():
                reason = " ".join(error.message().split())
                raise PublishingError(f"the server does not load {model}: {reason}") from error
            self._told = False

    def _await(self, model: str, config: ModelConfig) -> None:
        deadline = time.monotonic() + (ANSWER_TIMEOUT if self._told else PATIENCE)
        while not self.serves(model, config):
            if time.monotonic() > deadline:
                raise PublishingError(
                    f"the server does not take up {model}: {self._reasons(model)}. It must run in "
                    "Triton's control mode `explicit` (or `poll`) on this very repository. "
                    "Without its address the folder alone is changed, for its next start."
                )
            time.sleep(POLL_SECONDS)

    def _index(self, model: str) -> list[Any]:
        """The versions of a model, loaded or not; raises PublishingError where nobody answers."""
        try:
            index = self._client.get_model_repository_index(client_timeout=ANSWER_TIMEOUT).models
        except self._triton.InferenceServerException as error:
            reason = " ".join(str(error.message()).split())
            raise PublishingError(f"the server no longer tells what it serves: {reason}") from error
        return [one for one in index if one.name == model and one.version]

    def _reasons(self, model: str) -> str:
        told = [f"{one.version} is {one.state} {one.reason}" for one in self._index(model)]
        return " ".join(f"version {', '.join(told)}".split()) if told else "it has no such model"

    def _filled(self, tensor: Any) -> Any:
        """A made-up input of one row: a grey image, a word, or zeros; (1, *dims)."""
        from tritonclient.utils import triton_to_np_dtype

        shape = [1, *(max(1, dim) for dim in tensor.dims)]
        kind = self._triton.model_config_pb2.DataType.Name(tensor.data_type)
        name = "BYTES" if kind == "TYPE_STRING" else kind.removeprefix("TYPE_")
        if name == "BYTES":
            value = np.full(shape, _image() if tensor.name == MEDIA.name else b"walk", object)
        else:
            value = np.zeros(shape, triton_to_np_dtype(name))
        filled = self._triton.InferInput(tensor.name, shape, name)
        filled.set_data_from_numpy(value)
        return filled


def _image() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (IMAGE_SIDE, IMAGE_SIDE), (128, 128, 128)).save(file, "PNG")
    return file.getvalue()
