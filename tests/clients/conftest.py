"""A server with the served models' contract, and media and a labelled data set that it can read."""

import hashlib
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from clients.__main__ import main
from clients.recognizer import Recognizer
from clip_har import contract
from clip_har.contract import ServedModel, TensorSpec
from server.command import command_line
from server.discovery import find_server
from server.process import RunningServer, running

SOURCE = Path(__file__).parent / "stand_in" / "model.py"
MODELS: dict[ServedModel, dict[str, str]] = {
    contract.HAR_BASE: {},
    contract.HAR_TEMPORAL: {"ordered": "true"},
    contract.HAR_EMBED: {},
    contract.HAR_ZERO_SHOT: {},
    contract.HAR_TEXT_EMBED: {},
    contract.HAR_TEMPORAL_FRAMES: {},
    contract.HAR_STREAM: {},
    replace(contract.HAR_STREAM, name="har_brief_stream"): {"idle": "2000000"},
    contract.HAR_TIMELINE: {"seconds": "0.2", "queue": "1"},
    replace(contract.HAR_TEMPORAL, name="har_slow"): {"seconds": "0.5", "queue": "1"},
}
SIZES = {"K": 5, "D": 5}
LABELS = ("red", "green", "blue", "brightening", "darkening")
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
LEVELS = (0, 60, 120, 180, 255)


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A real Triton with stand-in models."""
    if find_server() is None:
        pytest.skip("no tritonserver is installed; run: python -m server install")
    folder = tmp_path_factory.mktemp("stand_in")
    for model, settings in MODELS.items():
        write_model(folder / "repository" / model.name, model, settings)
    with running(folder / "repository", log_path=folder / "server.log") as server:
        yield server


@pytest.fixture
def restricted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    """A server that keeps shared memory for who knows a key."""
    if find_server() is None:
        pytest.skip("no tritonserver is installed; run: python -m server install")

    def with_key(*given: Any, **more: Any) -> list[str]:
        kept = (
            f"--{option}=shared-memory:key=secret"
            for option in ("grpc-restricted-protocol", "http-restricted-api")
        )
        return [*command_line(*given, **more), *kept]

    monkeypatch.setattr("server.process.command_line", with_key)
    model = contract.HAR_TEMPORAL_FRAMES
    write_model(tmp_path / "repository" / model.name, model, {})
    with running(tmp_path / "repository", log_path=tmp_path / "server.log") as server:
        yield server


def write_model(folder: Path, model: ServedModel, settings: dict[str, str]) -> None:
    (folder / "1").mkdir(parents=True)
    shutil.copy(SOURCE, folder / "1")
    (folder / "config.pbtxt").write_text(pbtxt(model, settings))
    (folder / "labels.txt").write_text("\n".join(LABELS) + "\n")


def pbtxt(model: ServedModel, settings: dict[str, str]) -> str:
    """A config.pbtxt by the contract."""
    given = {"ordered": "false", "seconds": "0", "queue": "0", "idle": "60000000"} | settings
    batching = f"dynamic_batching {{ default_queue_policy {{ max_queue_size: {given['queue']} }} }}"
    scheduling = batching
    if model.inputs == contract.HAR_STREAM.inputs:
        idle = f"max_sequence_idle_microseconds: {given['idle']}"
        scheduling = f"sequence_batching {{ oldest {{ }} {idle} }}"
    if model is contract.HAR_TIMELINE:
        scheduling = f"{batching} model_transaction_policy {{ decoupled: true }}"
    return "\n".join(
        [
            'backend: "python"',
            f"max_batch_size: {1 if model is contract.HAR_TIMELINE else 4}",
            *(f"input [ {{ {described(one)} }} ]" for one in model.inputs),
            *(f"output [ {{ {described(one)} }} ]" for one in model.outputs),
            "instance_group [ { kind: KIND_CPU count: 1 } ]",
            scheduling,
            *(
                f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'
                for key, value in given.items()
            ),
        ]
    )


def described(spec: TensorSpec) -> str:
    kind = {"BYTES": "STRING"}.get(spec.dtype, spec.dtype)
    labels = ' label_filename: "labels.txt"' if spec is contract.PROBS else ""
    return f'name: "{spec.name}" data_type: TYPE_{kind} dims: {spec.dims(SIZES)}{labels}'


@dataclass(frozen=True)
class Finished:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Finished]:
    monkeypatch.setenv("COLUMNS", "120")

    def command(*arguments: object) -> Finished:
        monkeypatch.setattr(sys, "argv", ["clients", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Finished(int(ended.value.code or 0), said.out, said.err)

    return command


@pytest.fixture(params=["grpc", "http"])
def recognizer(request: pytest.FixtureRequest, stand_in: RunningServer) -> Iterator[Recognizer]:
    """A connection to the stand-in, over each protocol in turn."""
    urls = {"grpc": stand_in.grpc_url, "http": stand_in.http_url}
    with Recognizer(urls[request.param], protocol=request.param) as connected:
        yield connected


@pytest.fixture(scope="session")
def clip_of() -> Callable[[str], bytes]:
    """A video of a class: one colour, or greys that go up or down."""

    def clip(label: str) -> bytes:
        levels = LEVELS if label == "brightening" else LEVELS[::-1]
        colours = [COLOURS[label]] * 5 if label in COLOURS else [(one,) * 3 for one in levels]
        return mjpeg_video([Image.new("RGB", (64, 48), colour) for colour in colours])

    return clip


def mjpeg_video(pictures: list[Image.Image]) -> bytes:
    """Every frame for itself, so that a reversal has exactly the same pictures."""
    file = io.BytesIO()
    with av.open(file, "w", format="avi") as container:
        stream: Any = container.add_stream("mjpeg", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj444p"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


@pytest.fixture
def data(tmp_path: Path, clip_of: Callable[[str], bytes]) -> Path:
    """A data set: two test clips a class, one of them mislabelled; a still a colour; two pairs.

    One pair is a reversal, the other a loop that is its own reversal.
    """
    folder = tmp_path / "data"
    clips = []
    for label in LABELS:
        for number in range(2):
            told = "green" if (label, number) == ("red", 1) else label
            line = write_listed(folder, f"test/{label}/{number}.avi", told, clip_of(label))
            clips.append({**line, "split": "test", "seconds": 0.5, "frames": 5})
    stills = []
    for label, colour in COLOURS.items():
        file = io.BytesIO()
        Image.new("RGB", (64, 48), colour).save(file, format="JPEG")
        stills.append(write_listed(folder, f"stills/{label}.jpg", label, file.getvalue()))
    pair = {
        "forward": "test/brightening/0.avi",
        "backward": "test/darkening/0.avi",
        "label": "brightening",
        "reversed_label": "darkening",
    }
    greys = [Image.new("RGB", (64, 48), (one,) * 3) for one in (0, 120, 255, 120, 0)]
    write_listed(folder, "pairs/loop.avi", "brightening", mjpeg_video(greys))
    loop = {**pair, **dict.fromkeys(("forward", "backward"), "pairs/loop.avi")}
    manifest = {
        "name": "colours",
        "source": "Made for a test.",
        "labels": sorted(LABELS),
        "reversals": {"brightening": "darkening", "darkening": "brightening"},
        "clips": clips,
        "stills": stills,
        "pairs": [pair, {**loop, "tier": "closed_loop"}],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def write_listed(folder: Path, path: str, label: str, content: bytes) -> dict[str, str]:
    """Writes a file and gives its line of the manifest."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return {"path": path, "label": label, "sha256": hashlib.sha256(content).hexdigest()}
