"""What both drop-in backends do alike beside answering."""

import json
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

import server.process as process_module
from server.address import ANY_FREE
from server.errors import ServerError
from server.process import running

pytestmark = pytest.mark.triton

FOR_OPENVINO = """
default_model_filename: "model.onnx"
parameters { key: "ENABLE_BATCH_PADDING" value: { string_value: "YES" } }
"""


@pytest.fixture(params=["write_model", "write_openvino"], ids=["onnxruntime", "openvino"])
def doubled(request, installed, tmp_path, tensors) -> Path:
    """A repository whose model `doubled` answers X + X."""
    body = tensors.doubled + FOR_OPENVINO
    request.getfixturevalue(request.param)(tmp_path / "repository", "doubled", body)
    return tmp_path / "repository"


def test_numpy_2_is_refused_by_the_backend_itself(doubled, tmp_path, monkeypatch):
    """Whoever starts Triton without our launcher is warned too. The toolkit's numpy is 2."""
    monkeypatch.setattr(process_module, "VENV", Path(sys.prefix))
    monkeypatch.setattr(process_module, "check_environment", lambda *_: None)
    with (
        pytest.raises(ServerError, match=r"model 'doubled': numpy 2.* corrupts every tensor"),
        running(doubled, ANY_FREE, tmp_path / "log"),
    ):
        pass


def test_no_file_of_its_telemetry_appears_under_home(doubled, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    with running(doubled, ANY_FREE, tmp_path / "log") as server:
        body = {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [1] * 4}]}
        url = f"http://{server.http_url}/v2/models/doubled/infer"
        with urlopen(Request(url, json.dumps(body).encode())) as answer:
            assert json.load(answer)["outputs"][0]["data"] == [2] * 4
        time.sleep(1)
    assert list(home.rglob("*")) == []
