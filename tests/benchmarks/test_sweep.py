"""The parts of the load sweeps that need no server."""

import json
from base64 import b64decode
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from clip_har.media import Limits, clip_from_media
from clip_har.sampling import every_frame

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts import each other from their own folder."""
    monkeypatch.syspath_prepend(BENCHMARKS)


def made_folder(tmp_path: Path, count: int) -> Path:
    for number in range(count):
        (tmp_path / f"{number:02}.jpg").write_bytes(bytes([number]) * (number + 1))
    return tmp_path


def point(model: str, media: str, load: str, amount: float) -> object:
    sweep = import_module("sweep")
    latency = {"p50": 10.0 * amount, "p90": 11.0 * amount, "p95": 12.0 * amount, "p99": 13.0}
    steps = {"preprocess": sweep.Step(1, 2, 1), "vision_encoder": sweep.Step(3, 4, 2.5)}
    return sweep.Point(model, media, load, amount, 20.0 * amount, latency, steps)


def test_input_holds_every_file_as_a_bytes_tensor(tmp_path: Path) -> None:
    folder, target = made_folder(tmp_path, 64), tmp_path.parent / "input.json"
    import_module("sweep").write_input(folder, target)
    rows = json.loads(target.read_text())["data"]
    assert len(rows) == 64
    tensor = b64decode(rows[3]["MEDIA"]["content"]["b64"])
    assert tensor == b"\4\0\0\0" + b"\3\3\3\3"


def test_too_few_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="63 files, but 64"):
        import_module("sweep").write_input(made_folder(tmp_path, 63), tmp_path / "input.json")


def test_rate_counts_what_came_between_the_warm_up_and_the_end_of_the_load() -> None:
    rate = import_module("load").rate
    assert rate([0.5, 1.5, 2.0, 3.0, 3.5], 1.0, 3.0) == pytest.approx(3 / 2.0)
    assert rate([0.5], 1.0, 3.0) == 0.0


def test_table_gives_ratios_to_one_caller() -> None:
    report: ModuleType = import_module("sweep_report")
    points = [point("har_temporal", "clips", "concurrency", n) for n in (1, 4)]
    points.append(point("har_temporal", "clips", "rate", 14.5))
    about = {"cores": 2, "cpu": "a CPU", "date": "2026-01-02T03", "encoder": "openvino bf16"}
    text = report.table("bench-x", about, points, ["a.png"])
    assert "2 cores of a CPU, 2026-01-02, encoder openvino bf16" in text
    assert "| 4 callers | 80.0 | 4.00 | 40.0 | 4.00 | 48.0 | 13.0 | 2.5 |" in text
    assert "| 14.5 requests/s |" in text
    for plot in (report.latency_plot, report.steps_plot, report.batches_plot):
        assert plot(points).startswith(b"\x89PNG")


def test_made_media_have_the_size_that_they_are_to_have() -> None:
    made = import_module("media_set")
    small = np.random.default_rng(0).integers(0, 255, (56, 56, 3), np.uint8)
    large = made.enlarged(small, made.LONG_SIZE)
    assert large.shape == (360, 640, 3)
    data = made.mp4(iter([large] * 12), 5)
    assert len(clip_from_media(data, every_frame, Limits()).frames) == 12
    assert clip_from_media(made.jpeg(large), every_frame, Limits()).still
