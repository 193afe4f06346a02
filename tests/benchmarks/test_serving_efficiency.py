"""The rival that a server is measured against does the same work in the same environment."""

import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from server.process import RunningServer

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_rival_gives_the_servers_answers(
    monkeypatch: pytest.MonkeyPatch,
    built: Path,
    mocap: Path,
    serve,
    tmp_path: Path,
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    script, load = import_module("serving_efficiency"), import_module("load")
    clip = next(mocap.rglob("*.mp4"))
    shutil.copy(clip, tmp_path)
    server: RunningServer = serve(built / "model_repository")
    rival = script.Rival(built)
    try:
        many = rival.measure(tmp_path, script.Plan(2, 2, 4, 8), 1.0)
        alone = rival.measure(tmp_path, script.Plan(1, 1, 1, 1), 0.5)
    finally:
        rival.close()
    assert many["told"]
    assert alone["told"]
    expected = load.probabilities(server.grpc_url, "har_temporal", clip.read_bytes())
    np.testing.assert_allclose(many["probs"], expected, atol=script.TOLERANCE)
