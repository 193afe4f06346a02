"""The graphs of a build in every precision, made once each and kept between builds."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from builder.checkpoints import Variants
from builder.engines.engine import Tensors
from builder.engines.onnx_runtime import OnnxRuntime
from builder.gate import cosine_figures
from builder.graphs import SHARED_GRAPHS, VARIANT_GRAPHS
from builder.onnx_export import onnx_from_graph
from builder.precision import half_from_graph
from builder.profile import Precision, Quantization
from builder.quantization import dynamic_int8_from_graph, int8_from_graph, layer_errors
from clip_har.contract import MIXTURE, ServedModel
from clip_har.product import fingerprint, is_current, record_inputs, staged, tree_hash

GRAPH_FILE, NOTES_FILE = "model.onnx", "notes.json"
ERRORS_ON = 2  # calibration feeds on which single layers are judged


@dataclass(frozen=True)
class GraphStore:
    """Where graphs are, by model and precision."""

    folder: Path
    """Holds a product for each of them."""
    variants: Variants
    """What is exported."""
    opset: int
    """ONNX operator set."""
    quantization: Quantization
    """How int8 graphs are made."""
    calibration: Callable[[ServedModel], Sequence[Tensors]]
    """Feeds of real training clips for a graph."""
    made_from: str
    """Fingerprint of checkpoints and code."""
    threads: int
    """Cores to use."""

    def path(self, model: ServedModel, precision: Precision, float_share: float = 0.0) -> Path:
        """The ONNX file, made if it is not there.

        `float_share` of an int8 graph's products stay float beyond those that must.
        """
        suffix = f"-float{float_share:g}" if float_share else ""
        target = self.folder / f"{model.name}-{precision}{suffix}"
        made_from = fingerprint(
            {
                "inputs": self.made_from,
                "temperatures": None if model in SHARED_GRAPHS else self.variants.temperatures(),
                "opset": self.opset,
                "precision": precision,
                "quantization": self.quantization.model_dump() if precision == "int8" else None,
            }
        )
        if not is_current(target, made_from):
            with staged(target) as staging:
                notes = self._made(model, precision, float_share, staging / GRAPH_FILE)
                (staging / NOTES_FILE).write_text(json.dumps(notes, indent=2) + "\n")
                record_inputs(staging, made_from)
        return target / GRAPH_FILE

    def notes(
        self, model: ServedModel, precision: Precision, float_share: float = 0.0
    ) -> dict[str, Any]:
        """How a graph came about: what was tried and what was left float."""
        path = self.path(model, precision, float_share)
        return json.loads((path.parent / NOTES_FILE).read_text())

    def _made(
        self, model: ServedModel, precision: Precision, float_share: float, target: Path
    ) -> dict[str, Any]:
        if precision == "fp32":
            graph, sizes = self._module(model), self.variants.spec.sizes
            onnx_from_graph(graph, model, sizes, target, self.opset)
            return {}
        exact = self.path(model, "fp32")
        if precision == "int8-dynamic":
            dynamic_int8_from_graph(exact, target)
            return {}
        graph = onnx.load(exact)
        if precision == "int8" and float_share:
            made, notes = self._more_float(model, graph, float_share)
        elif precision == "int8":
            made, notes = self._quantized(graph, self.calibration(model))
        else:
            made, notes = half_from_graph(graph, precision), {}
        onnx.save(made, target)
        return notes

    def _module(self, model: ServedModel) -> nn.Module:
        if model in SHARED_GRAPHS:
            return SHARED_GRAPHS[model](self.variants.any_model)
        if model is MIXTURE:
            assert self.variants.mixture is not None
            return self.variants.mixture
        return next(
            graphs[model](self.variants.models[kind])
            for kind, graphs in VARIANT_GRAPHS.items()
            if model in graphs and kind in self.variants.models
        )

    def _quantized(
        self, graph: onnx.ModelProto, feeds: Sequence[Tensors]
    ) -> tuple[onnx.ModelProto, dict[str, Any]]:
        """The nearest of the int8 graphs that the settings try, bad layers left float."""
        settings = self.quantization
        exact = self._embeddings(graph, feeds)
        tried: dict[float, float] = {}
        best, best_alpha = graph, 0.0
        for alpha in settings.smooth_quant:
            made = int8_from_graph(graph, feeds, alpha, ())
            tried[alpha] = cosine_figures(exact, self._embeddings(made, feeds))["min_cosine"]
            if tried[alpha] == max(tried.values()):
                best, best_alpha = made, alpha
        errors = layer_errors(graph, best, feeds[:ERRORS_ON])
        kept = [name for name, error in errors.items() if error > settings.max_layer_error]
        if kept:
            best = int8_from_graph(graph, feeds, best_alpha, kept)
        notes = {
            "min_cosine_by_smooth_quant": {str(alpha): value for alpha, value in tried.items()},
            "smooth_quant": best_alpha,
            "layer_errors": errors,
            "kept_float": kept,
        }
        return best, notes

    def _more_float(
        self, model: ServedModel, graph: onnx.ModelProto, share: float
    ) -> tuple[onnx.ModelProto, dict[str, Any]]:
        """The int8 graph with a share of its products left float, the worst ones."""
        notes = self.notes(model, "int8")
        errors: dict[str, float] = notes["layer_errors"]
        worst = sorted(errors, key=lambda name: -errors[name])[: ceil(share * len(errors))]
        kept = [*notes["kept_float"], *(name for name in worst if name not in notes["kept_float"])]
        made = int8_from_graph(graph, self.calibration(model), notes["smooth_quant"], kept)
        return made, {**notes, "kept_float": kept}

    def _embeddings(self, graph: onnx.ModelProto, feeds: Sequence[Tensors]) -> Tensor:
        file = self.folder / ".measured.onnx"
        onnx.save(graph, file)
        session = OnnxRuntime().open(file, self.threads)
        answers = [next(iter(session.run(feed).values())) for feed in feeds]
        file.unlink()
        return torch.cat([torch.from_numpy(answer).flatten(0, -2) for answer in answers])


def code_hash(root: Path) -> str:
    """Hash over the code that makes graphs."""
    files = ("graphs", "onnx_export", "precision", "quantization", "graph_store")
    return fingerprint(
        {
            **{name: tree_hash(root / "builder" / f"{name}.py") for name in files},
            "nn": tree_hash(root / "clip_har" / "nn"),
            "contract": tree_hash(root / "clip_har" / "contract.py"),
        }
    )
