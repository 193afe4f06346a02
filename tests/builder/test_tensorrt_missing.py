"""What people hear where TensorRT, TensorRT for RTX or a GPU is missing."""

from pathlib import Path

import pytest

from builder.engines.engine import EngineMissingError
from builder.engines.gpu import gpus
from builder.engines.plan import PlanChoices, PlanOptions
from builder.engines.tensorrt import TensorRT, TensorRTForRTX


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU")
def test_tensorrt_without_a_gpu_stops_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(EngineMissingError, match="only where an NVIDIA GPU is") as refused:
        TensorRT().build(tmp_path / "nothing.onnx", tmp_path / "1" / "model.plan", {})
    assert "take tensorrt_rtx" in str(refused.value)
    assert not (tmp_path / "1").exists()


def test_a_missing_module_is_told_with_what_to_install() -> None:
    class Nowhere(TensorRTForRTX):
        modules = ("no_such_module",)

    with pytest.raises(EngineMissingError, match="pip install"):
        Nowhere().version()
    assert "no_such_module cannot be imported" in Nowhere().unbuildable()
    assert "pip install tensorrt-rtx-cu12-bindings==" in Nowhere().missing()


def test_stubs_alone_are_not_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trt_stubs_only").mkdir()
    (tmp_path / "trt_stubs_only" / "__init__.pyi").write_text("class Builder: ...\n")
    monkeypatch.syspath_prepend(tmp_path)

    class Stubs(TensorRTForRTX):
        modules = ("trt_stubs_only",)

    assert "trt_stubs_only cannot be imported" in Stubs().unbuildable()


def test_tensorrts_options_reach_the_plan() -> None:
    cache = Path("timing.cache")
    engine = TensorRT(PlanChoices(version_compatible=True, hardware="ampere_plus"), cache)
    assert engine.options == PlanOptions(
        version_compatible=True, hardware="ampere_plus", timing_cache=cache
    )
    assert engine.architectures() == ("8.0",)
