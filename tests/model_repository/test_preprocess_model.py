"""The Triton side of preprocessing, in front of a stand-in for the module that only Triton has."""

import importlib.util
import io
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format, text_format
from PIL import Image
from tritonclient.grpc.model_config_pb2 import ModelConfig

from clip_har.contract import PREPROCESS
from clip_har.limits import Limits, MediaSettings

FOLDER = Path(__file__).parents[2] / "model_repository" / "preprocess"


@dataclass
class Tensor:
    name: str
    values: np.ndarray

    def as_numpy(self) -> np.ndarray:
        return self.values


@dataclass
class TritonError:
    message: str
    code: str = "UNKNOWN"
    INVALID_ARG = "INVALID_ARG"
    INTERNAL = "INTERNAL"


@dataclass
class InferenceResponse:
    output_tensors: list[Tensor] = field(default_factory=list)
    error: TritonError | None = None


class TritonModelException(Exception):  # noqa: N818
    pass


@pytest.fixture
def triton(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    logged: list[str] = []
    module = ModuleType("triton_python_backend_utils")
    members = SimpleNamespace(
        Tensor=Tensor,
        TritonError=TritonError,
        InferenceResponse=InferenceResponse,
        TritonModelException=TritonModelException,
        Logger=SimpleNamespace(log_error=logged.append),
        get_input_tensor_by_name=lambda request, name: request[name],
        logged=logged,
    )
    vars(module).update(vars(members))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return members


@pytest.fixture
def model_class(triton: SimpleNamespace) -> type:
    spec = importlib.util.spec_from_file_location("preprocess_model", FOLDER / "1" / "model.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TritonPythonModel


def source() -> ModelConfig:
    return text_format.Parse((FOLDER / "config.pbtxt").read_text(), ModelConfig())


def loaded(model_class: type, **parameters: str | None) -> Any:
    """The model as Triton loads it; None takes a parameter away."""
    config = source()
    for key, value in ({"frames": "4", "image_size": "32"} | parameters).items():
        if value is None:
            del config.parameters[key]
        else:
            config.parameters[key].string_value = value
    model = model_class()
    as_json = json_format.MessageToJson(config, preserving_proto_field_name=True)
    model.initialize({"model_config": as_json})
    return model


def request(*media: bytes) -> dict[str, Tensor]:
    return {"MEDIA": Tensor("MEDIA", np.array([[data] for data in media], np.object_))}


def photo() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (50, 40), (200, 100, 50)).save(file, "JPEG")
    return file.getvalue()


def animation() -> bytes:
    frames = [Image.new("L", (40, 30), level) for level in (0, 80, 160, 240)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=100)
    return file.getvalue()


def outputs(response: InferenceResponse) -> dict[str, np.ndarray]:
    assert response.error is None
    return {tensor.name: tensor.values for tensor in response.output_tensors}


def test_the_config_has_the_tensors_of_the_contract() -> None:
    config = source()
    assert config.name == PREPROCESS.name
    for side, specs in ((config.input, PREPROCESS.inputs), (config.output, PREPROCESS.outputs)):
        assert [tensor.name for tensor in side] == [spec.name for spec in specs]
        assert [list(tensor.dims) for tensor in side] == [spec.dims({"S": -1}) for spec in specs]


def test_the_config_states_every_setting_and_the_default_limits() -> None:
    parameters = source().parameters
    assert set(parameters) == set(MediaSettings.model_fields)
    for name, default in Limits().model_dump().items():
        assert float(parameters[name].string_value) == default


def test_each_request_is_answered_by_itself(model_class: type) -> None:
    model = loaded(model_class)
    responses = model.execute(
        [request(photo()), request(photo(), b"text"), request(animation(), photo())]
    )
    first, last = outputs(responses[0]), outputs(responses[2])
    assert first["FRAMES"].shape == (1, 1, 32, 32, 3)
    assert first["FRAMES"].dtype == np.uint8
    assert first["TIMES"].tolist() == [[0.0]]
    assert responses[1].error.message.startswith("Item 2 of 2: Not a file that is read here")
    assert responses[1].error.code == "INVALID_ARG"
    assert last["FRAMES"].shape == (2, 4, 32, 32, 3)
    assert last["TIMES"].dtype == np.float32
    assert last["TIMES"][0].tolist() == pytest.approx([0.05, 0.15, 0.25, 0.35])


def test_a_fault_of_ours_stays_with_its_request(model_class: type, triton: SimpleNamespace) -> None:
    responses = loaded(model_class).execute([{}, request(photo())])
    assert responses[0].error.code == "INTERNAL"
    assert "KeyError" in responses[0].error.message
    assert "KeyError" in triton.logged[0]
    outputs(responses[1])


def test_limits_come_from_the_parameters(model_class: type) -> None:
    (response,) = loaded(model_class, max_pixels="1999").execute([request(photo())])
    assert "50x40 pixels, but the limit is 1999" in response.error.message


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"max_pixels": "many"}, "max_pixels.*valid integer.*'many'"),
        ({"max_pixels": "0"}, "max_pixels.*greater than 0"),
        ({"frames": "-1"}, "frames.*greater than 0"),
        ({"frames": None}, "the key 'frames' is missing"),
        ({"max_pixel": "5"}, "unknown key 'max_pixel'.*Known keys: max_pixels"),
        ({"frames": "filled in by the builder"}, r"frames .*not filled in.*python -m builder"),
    ],
)
def test_a_wrong_parameter_fails_the_load_with_one_line(
    parameters: dict[str, str], message: str, model_class: type
) -> None:
    with pytest.raises(TritonModelException, match=message) as caught:
        loaded(model_class, **parameters)
    assert "\n" not in str(caught.value)


def test_parameters_of_the_backend_itself_are_let_through(model_class: type) -> None:
    assert loaded(model_class, FORCE_CPU_ONLY_INPUT_TENSORS="no", EXECUTION_ENV_PATH="/env")
