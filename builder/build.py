"""Checkpoints and a profile to a servable repository, with its proof beside it."""

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from builder.checkpoints import Variants, variants_from_folder
from builder.graphs import SHARED_GRAPHS, VARIANT_GRAPHS
from builder.onnx_export import onnx_from_graph
from builder.parity import Answer, OnnxChain, Parity, check_texts, torch_answer
from builder.profile import BuildProfile
from builder.repository import write_repository
from clip_har.contract import HAR_BASE, HAR_TEMPORAL, ServedModel
from clip_har.dataset import MANIFEST_FILE, DataSet, Sample, data_set_from_folder, sample_bytes
from clip_har.limits import Limits
from clip_har.media import frames_from_media
from clip_har.product import (
    file_hash,
    fingerprint,
    is_current,
    record_inputs,
    staged,
    tree_hash,
)
from clip_har.provenance import provenance
from clip_har.reference import REFERENCE_FILE, Answers, BuilderError, Reference, ReferenceClip
from clip_har.spec import TemporalKind

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "model_repository"
CODE = (ROOT / "builder", ROOT / "clip_har")
REPOSITORY, MANIFEST = "model_repository", "manifest.json"
PUBLIC: dict[TemporalKind, ServedModel] = {"mean": HAR_BASE, "attention_motion": HAR_TEMPORAL}
PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "tritonclient", "numpy")
Progress = Callable[[Iterable[object], str, int], Iterable[object]]


@dataclass(frozen=True)
class Build:
    """What a build found."""

    folder: Path
    """Where the product is."""
    parity: dict[str, dict[str, float]]
    """Figures of the comparison with the trained model, by public model."""
    fresh: bool
    """False where the product was there and up to date."""
    left_out: int
    """Test clips and stills of classes that the checkpoints do not know: they prove nothing."""


def build(
    profile: BuildProfile, checkpoints: Path, data: Path, out: Path, progress: Progress
) -> Build:
    """Exports, proves and assembles; writes `out` whole or not at all.

    Raises ValueError for checkpoints or data that cannot be used, and for graphs over the budget.
    """
    variants = variants_from_folder(checkpoints)
    data_set = data_set_from_folder(data)
    known = set(variants.spec.labels)
    left_out = sum(one.label not in known for one in (*data_set.split("test"), *data_set.stills))
    made_from = _made_from(profile, variants, data)
    if is_current(out, made_from):
        manifest = json.loads((out / MANIFEST).read_text())
        return Build(out, manifest["parity"], fresh=False, left_out=left_out)
    with staged(out) as staging:
        graphs = _exported(variants, staging / "graphs", profile, progress)
        parity, reference = _proved(profile, variants, data_set, data, graphs, progress)
        threads = profile.encoder_threads or usable_cores()
        kinds = tuple(variants.models)
        target = staging / REPOSITORY
        write_repository(target, SOURCES, graphs, variants.spec, kinds, profile, threads)
        shutil.rmtree(staging / "graphs")
        (staging / REFERENCE_FILE).write_text(reference.model_dump_json() + "\n")
        manifest = _manifest(profile, variants, parity, graphs, staging)
        (staging / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        record_inputs(staging, made_from)
    table = {name: figures.as_table() for name, figures in parity.items()}
    return Build(out, table, fresh=True, left_out=left_out)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _made_from(profile: BuildProfile, variants: Variants, data: Path) -> str:
    return fingerprint(
        {
            "profile": profile.model_dump(),
            "checkpoints": [tree_hash(folder) for folder in variants.folders.values()],
            "data": file_hash(data / MANIFEST_FILE),
            "sources": SOURCES,
            "code": [tree_hash(folder) for folder in CODE],
            "cores": usable_cores(),
        }
    )


def _exported(
    variants: Variants, folder: Path, profile: BuildProfile, progress: Progress
) -> dict[ServedModel, Path]:
    folder.mkdir()
    modules = {model: graph(variants.any_model) for model, graph in SHARED_GRAPHS.items()}
    for kind, trained in variants.models.items():
        modules |= {model: graph(trained) for model, graph in VARIANT_GRAPHS[kind].items()}
    paths = {model: folder / f"{model.name}.onnx" for model in modules}
    for model in progress(modules, "export graphs", len(modules)):
        assert isinstance(model, ServedModel)
        sizes = variants.spec.sizes
        onnx_from_graph(modules[model], model, sizes, paths[model], profile.opset)
    return paths


def _proved(
    profile: BuildProfile,
    variants: Variants,
    data_set: DataSet,
    data: Path,
    graphs: dict[ServedModel, Path],
    progress: Progress,
) -> tuple[dict[str, Parity], Reference]:
    """Compares torch with ONNX on held-out media; raises ValueError over the budget."""
    chain = OnnxChain(graphs)
    parity = {PUBLIC[kind].name: Parity() for kind in variants.models}
    samples = parity_samples(data_set, variants.spec.labels, profile.parity_clips)
    clips: list[ReferenceClip] = []
    size = variants.spec.preprocessing.image_size
    for sample in progress(samples, "prove parity", len(samples)):
        assert isinstance(sample, Sample)
        media = sample_bytes(data, sample)
        frames, times = frames_from_media(media, variants.spec.frames, size, Limits())
        told: dict[str, Answers] = {}
        for kind, model in variants.models.items():
            name = PUBLIC[kind].name
            trained = torch_answer(model, frames, times)
            exported = chain.answer(kind, frames, times)
            parity[name].add(trained, exported)
            told[name] = Answers(torch=_floats(trained), onnx=_floats(exported))
        clips.append(ReferenceClip(path=sample.path, sha256=sample.sha256, models=told))
    for name, figures in parity.items():
        figures.check(name, profile.budget)
    check_texts(variants.any_model, chain, variants.class_tokens(), profile.budget)
    worst = max(figures.max_probability_error for figures in parity.values())
    return parity, Reference(max_abs_error=BuilderError(torch_onnx=worst), clips=tuple(clips))


def parity_samples(data_set: DataSet, labels: Iterable[str], per_class: int) -> list[Sample]:
    """The first test clips and stills of each of the labels, which are those of the checkpoints.

    Raises ValueError where the data set has none of them.
    """
    chosen: list[Sample] = []
    for samples in (data_set.split("test"), data_set.stills):
        for label in labels:
            chosen += [sample for sample in samples if sample.label == label][:per_class]
    if not chosen:
        raise ValueError(
            f"data set {data_set.name}: no test clip and no still has a class of the checkpoints. "
            f"They know {', '.join(labels)}; the data have {', '.join(data_set.labels)}. "
            "Name the data set that they were trained on."
        )
    return chosen


def _floats(answer: Answer) -> tuple[float, ...]:
    return tuple(float(value) for value in answer.probs)


def _manifest(
    profile: BuildProfile,
    variants: Variants,
    parity: dict[str, Parity],
    graphs: dict[ServedModel, Path],
    staging: Path,
) -> dict[str, object]:
    repository = staging / REPOSITORY
    files = sorted(path for path in repository.rglob("*") if path.is_file())
    return {
        "profile": profile.model_dump(),
        "checkpoints": {
            PUBLIC[kind].name: {"folder": str(folder), "sha256": tree_hash(folder)}
            for kind, folder in variants.folders.items()
        },
        "models": {
            model.name: {"engine": profile.platform, "precision": "fp32"} for model in graphs
        },
        "parity": {name: figures.as_table() for name, figures in parity.items()},
        "files": {str(path.relative_to(repository)): file_hash(path) for path in files},
        "provenance": provenance(PACKAGES),
    }
