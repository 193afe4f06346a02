"""A stand-in speaks as much of the Hub's API as an upload of small files needs."""

import base64
import json
import socket
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from clip_har.spec import ModelSpec, Preprocessing
from training.hub import checkpoint_files, push_to_hub

SPEC = ModelSpec(
    backbone="assets/mocap-clip",
    clip={},
    embed_dim=16,
    frames=8,
    temporal="mean",
    labels=("running", "sitting"),
    prompts=("a person {}",),
    preprocessing=Preprocessing(image_size=32, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)),
)


class StandIn(ThreadingHTTPServer):
    """Keeps what it is sent; refuses every token but `good`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.created: dict[str, Any] = {}
        self.files: dict[str, bytes] = {}


class Answers(BaseHTTPRequestHandler):
    server: StandIn  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.headers["Authorization"] != "Bearer good":
            self._answer({"error": "Invalid credentials"}, 401)
        elif self.path == "/api/repos/create":
            self.server.created = json.loads(body)
            self._answer({"url": f"{self.server.address}/ann/har"})
        elif self.path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif self.path == "/api/models/ann/har/preupload/main":
            asked = json.loads(body)["files"]
            regular = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            self._answer({"files": [{"path": one["path"], **regular} for one in asked]})
        elif self.path == "/api/models/ann/har/commit/main":
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    sent = line["value"]
                    self.server.files[sent["path"]] = base64.b64decode(sent["content"])
            self._answer({"commitUrl": f"{self.server.address}/ann/har/commit/1", "commitOid": "1"})
        else:
            self._answer({"error": self.path}, 404)

    def _answer(self, table: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(table).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Generator[StandIn]:
    with StandIn() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Whole as far as an upload looks, with files beside it that are nobody's business."""
    folder = tmp_path / "temporal"
    (folder / "states").mkdir(parents=True)
    (folder / "config.json").write_text(SPEC.model_dump_json())
    (folder / "README.md").write_text("---\ntags:\n- clip\n---\n\n# A card\n")
    for name in ("model.safetensors", "tokenizer.json", "run.json"):
        (folder / name).write_text(f"{{}} {name}")
    for name in ("inputs.json", "notes.txt", ".env", "states/model.safetensors"):
        (folder / name).write_text("mine")
    return folder


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No token of the machine's user."""
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))


UPLOADED = {"config.json", "model.safetensors", "tokenizer.json", "README.md", "run.json"}


def test_a_checkpoint_is_uploaded_and_nothing_beside_it(checkpoint: Path, hub: StandIn) -> None:
    url = push_to_hub(checkpoint, "ann/har", private=True, token="good", endpoint=hub.address)
    assert url == f"{hub.address}/ann/har"
    assert (hub.created["name"], hub.created["organization"]) == ("har", "ann")
    assert hub.created.get("private") is True or hub.created.get("visibility") == "private"
    assert set(hub.files) == UPLOADED
    assert hub.files["config.json"] == (checkpoint / "config.json").read_bytes()


def test_a_token_that_is_refused_is_explained(checkpoint: Path, hub: StandIn) -> None:
    with pytest.raises(ValueError, match=r"refused \(401\)\. The Hub does not accept the token"):
        push_to_hub(checkpoint, "ann/har", token="bad", endpoint=hub.address)
    assert hub.files == {}


def test_without_a_token_nothing_is_sent(checkpoint: Path, hub: StandIn) -> None:
    with pytest.raises(ValueError, match=r"No access token.*hf auth login"):
        push_to_hub(checkpoint, "ann/har", endpoint=hub.address)
    assert hub.created == {}


def test_a_hub_that_cannot_be_reached_is_explained(checkpoint: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ValueError, match=r"cannot be reached.*HF_HUB_OFFLINE"):
        push_to_hub(checkpoint, "ann/har", token="good", endpoint=address)


def test_offline_mode_is_explained(
    checkpoint: Path, hub: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="offline mode is enabled"):
        push_to_hub(checkpoint, "ann/har", token="good", endpoint=hub.address)


@pytest.mark.parametrize("name", ["a/b/c", "ann/", "my model", "", "ann/har.git"])
def test_a_bad_name_is_explained(checkpoint: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"no name of a repository.*OWNER/NAME"):
        push_to_hub(checkpoint, name, token="good")


def test_a_folder_that_is_no_checkpoint_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    assert set(checkpoint_files(checkpoint)) == UPLOADED
    with pytest.raises(ValueError, match="not a checkpoint"):
        push_to_hub(tmp_path, "ann/har", token="good")
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"it has no model\.safetensors"):
        push_to_hub(checkpoint, "ann/har", token="good")
