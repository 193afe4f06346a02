"""The built line behind a real server, and what the trained models themselves say."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tritonclient.grpc

from clients.recognizer import Recognizer
from clip_har.contract import HAR_BASE, HAR_TEMPORAL
from clip_har.dataset import DataSet, data_set_from_folder
from clip_har.nn.model import CLIPHARModel
from server.process import RunningServer


@pytest.fixture(scope="session")
def line(built: Path, serve: Callable[[Path], RunningServer]) -> RunningServer:
    """A server on the built repository."""
    return serve(built / "model_repository")


@pytest.fixture
def client(line: RunningServer) -> Iterator[tritonclient.grpc.InferenceServerClient]:
    """NVIDIA's own client, connected to the line of the test's module."""
    with tritonclient.grpc.InferenceServerClient(line.grpc_url) as connected:
        yield connected


@pytest.fixture(params=["grpc", "http"])
def recognizer(request: pytest.FixtureRequest, line: RunningServer) -> Iterator[Recognizer]:
    """A connection to the line, over each protocol in turn."""
    urls = {"grpc": line.grpc_url, "http": line.http_url}
    with Recognizer(urls[request.param], protocol=request.param) as connected:
        yield connected


@pytest.fixture(scope="session")
def models(checkpoints: Path) -> dict[str, CLIPHARModel]:
    """The trained models, by the name under which they are served."""
    folders = {HAR_BASE.name: "base", HAR_TEMPORAL.name: "temporal"}
    return {
        name: CLIPHARModel.from_pretrained(checkpoints / folder) for name, folder in folders.items()
    }


@pytest.fixture(scope="session")
def model(models: dict[str, CLIPHARModel]) -> CLIPHARModel:
    """The temporal variant."""
    return models[HAR_TEMPORAL.name]


@pytest.fixture(scope="session")
def data_set(mocap: Path) -> DataSet:
    return data_set_from_folder(mocap)


@pytest.fixture(scope="session")
def clip(mocap: Path, data_set: DataSet) -> bytes:
    """A good video."""
    return (mocap / data_set.split("test")[0].path).read_bytes()


@pytest.fixture(scope="session")
def still(mocap: Path, data_set: DataSet) -> bytes:
    """A good image."""
    return (mocap / data_set.stills[0].path).read_bytes()
