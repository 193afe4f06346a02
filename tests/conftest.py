"""What tests of several packages share: made media, a small trained line, a real tritonserver.

Media: frame i of a movie is grey of level `grey(i)`, its top left quarter red.
"""

import io
import os
import struct
import zlib
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

# Before anything loads ONNX Runtime: its telemetry writes a file under the user's home.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import pytest
from numpy.typing import NDArray

from clip_har.ensemble import ENSEMBLE_FILE, Ensemble
from server.installation import install
from server.process import RunningServer, running

RED = (220, 30, 30)
PROFILE = Path(__file__).parent.parent / "configs" / "profiles" / "cpu-exact.toml"
Item = TypeVar("Item")


def grey(index: int) -> int:
    return 20 + 9 * index


def drawn(index: int, width: int, height: int) -> NDArray[np.uint8]:
    frame = np.full((height, width, 3), grey(index), np.uint8)
    frame[: height // 2, : width // 2] = RED
    return frame


def make_movie(
    frames: int = 20,
    *,
    container: str = "mp4",
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    times: Sequence[int] | None = None,
    rate: int = 10,
    options: dict[str, str] | None = None,
    turn: tuple[float, bool, bool] | None = None,
    title: str = "",
    draw: Callable[[int, int, int], NDArray[np.uint8]] = drawn,
) -> bytes:
    """A video; `times` are presentation times in hundredths of a second for a variable rate."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        output.metadata["title"] = title
        stream = output.add_stream(codec, rate=rate, options={"crf": "10"} | (options or {}))
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.bit_rate = 2_000_000
        if turn:
            stream.set_display_rotation(turn[0], hflip=turn[1], vflip=turn[2])
        if times:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 100)
        output.start_encoding()
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(index, *size), "rgb24")
            frame.pts = times[index] if times else index
            frame.time_base = Fraction(1, 100) if times else Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file.getvalue()


def make_sound(container: str = "mp4") -> bytes:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file.getvalue()


def make_png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


@pytest.fixture(scope="session")
def png_header() -> Callable[[int, int], bytes]:
    return make_png_header


@pytest.fixture(scope="session")
def movie() -> Callable[..., bytes]:
    return make_movie


@pytest.fixture(scope="session")
def sound() -> bytes:
    return make_sound()


def silent(items: Iterable[Item], title: str, total: int) -> Iterable[Item]:
    """No progress bar."""
    return items


@pytest.fixture(scope="session")
def mocap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest mocap data set: one clip a class in each split, one still."""
    from training.mocap.render import MocapConfig, render_mocap

    folder = tmp_path_factory.mktemp("mocap") / "data"
    config = MocapConfig(
        seed=7,
        side=48,
        fps=12,
        train_clips=1,
        val_clips=1,
        test_clips=1,
        stills=1,
        closed_loop=1,
        rotation=1,
        nuisance=1,
    )
    render_mocap(config, folder, silent)
    return folder


@pytest.fixture(scope="session")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of random weights in a folder, with its tokenizer."""
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    from training.mocap.actions import LABELS

    folder = tmp_path_factory.mktemp("clip")
    corpus = [*LABELS, " ".join(map(chr, range(33, 127)))]
    tokenizer = CLIPTokenizer().train_new_from_iterator(corpus, 300, show_progress=False)
    tower = {
        "hidden_size": 32,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "projection_dim": 16,
    }
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 77,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config={**tower, **text},
        vision_config={**tower, "image_size": 32, "patch_size": 16},
        projection_dim=16,
        initializer_factor=4.0,  # so that pictures differ in what they give
    )
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def checkpoints(mocap: Path, small_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training run's folder with the checkpoints `base` and `temporal`."""
    from training.settings import TrainConfig
    from training.train import train

    folder = tmp_path_factory.mktemp("run") / "run"
    frozen = {"trains": "frozen", "epochs": 2.5, "batch": 16, "learning_rate": 0.01}
    config = TrainConfig.model_validate(
        {
            "seed": 1,
            "backbone": str(small_clip),
            "frames": 8,
            "train_frames": [8],
            "prompts": ["a person {}"],
            "tracker": "none",
            "variants": {
                "base": {"temporal": "mean"},
                "temporal": {"temporal": "attention_motion"},
            },
            "stages": {"frozen": frozen},
        }
    )
    train(config, mocap, folder, "tests")
    for name in config.variants:
        make_decided(folder / name)
    give_all_a_voice(folder / ENSEMBLE_FILE)
    return folder


def give_all_a_voice(path: Path) -> None:
    """Weights and temperatures that differ: those fitted to a few clips are often 0 and 1."""
    ensemble = Ensemble.from_json(path)
    parts = zip(ensemble.members, (0.5, 0.3, 0.2), (1.5, 2.0, 0.7), strict=True)
    members = tuple(
        member.model_copy(update={"weight": weight, "temperature": temperature})
        for member, weight, temperature in parts
    )
    path.write_text(Ensemble(members=members).model_dump_json())


def make_decided(checkpoint: Path) -> None:
    """Large random weights in the last layers: a few steps of training leave every answer alike."""
    import torch

    from clip_har.checkpoint import (
        model_from_checkpoint,
        save_checkpoint,
        tokenizer_from_checkpoint,
    )

    model = model_from_checkpoint(checkpoint)
    tokenizer = tokenizer_from_checkpoint(checkpoint, model)
    torch.manual_seed(0)
    with torch.no_grad():
        if model.spec.temporal == "attention_motion":
            model.temporal.fusion[-1].weight.normal_(std=0.05)
        model.head[1].weight.normal_(std=1.2)
        model.head[-1].weight.normal_()
    model.spec = model.spec.model_copy(update={"temperature": 1.5})
    save_checkpoint(checkpoint, model, tokenizer, {"command": "tests"})


@pytest.fixture(scope="session")
def built(checkpoints: Path, mocap: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product of the exact profile: a repository, its manifest and its reference answers."""
    from builder.build import build
    from builder.profile import BuildProfile

    folder = tmp_path_factory.mktemp("built") / "exact"
    build(BuildProfile.from_toml(PROFILE), checkpoints, mocap, folder)
    return folder


@pytest.fixture(scope="session")
def installed() -> None:
    """What serving needs; installs it on the first run, like `python -m server install`."""
    install(print)


@pytest.fixture(scope="session")
def serve(
    installed: None, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Callable[[Path], RunningServer]]:
    """Gives the running server of a repository: started once, stopped at the end of the session."""
    servers: dict[Path, RunningServer] = {}
    with ExitStack() as stack:

        def server_of(repository: Path) -> RunningServer:
            if repository not in servers:
                log = tmp_path_factory.mktemp("server") / "server.log"
                servers[repository] = stack.enter_context(running(repository, log_path=log))
            return servers[repository]

        yield server_of
