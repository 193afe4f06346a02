"""Checkpoints and a profile to a servable repository, with its proof beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from builder.arithmetic import operations_a_second
from builder.candidates import engines_of
from builder.checkpoints import Variants, variants_from_folder
from builder.cpu import cpu_flags, cpu_name, has_onednn_int8, usable_cores
from builder.engines.engine import Engine, EngineName, Tensors
from builder.graph_store import GraphStore, code_hash
from builder.held_out import clips_of_split, frames_of_clips, held_out_of_data
from builder.manifest import (
    REPOSITORY,
    CheckpointRecord,
    GraphRecord,
    Manifest,
    repository_files,
    write_manifest,
)
from builder.matrix_product import int8_operations_a_second
from builder.profile import BuildProfile
from builder.proof import proof_of_engines
from builder.report import REPORT_JSON, BuildReport, Limits, candidate_row, write_report
from builder.repository import VERSION, Given, write_repository
from builder.selection import Selection
from builder.trials import Court
from builder.triton_config import CONFIG_FILE, config_from_file
from clip_har.contract import FRAMES, TOKENS, VISION_ENCODER, ServedModel
from clip_har.dataset import MANIFEST_FILE, DataSet, data_set_from_folder, sample_bytes
from clip_har.product import file_hash, fingerprint, is_current, record_inputs, staged, tree_hash
from clip_har.provenance import provenance
from clip_har.reference import REFERENCE_FILE
from clip_har.tokenizer import tokenizer_file

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "model_repository"
CODE = (ROOT / "builder", ROOT / "clip_har")
PACKAGES = (
    "torch", "transformers", "onnx", "onnxscript", "onnxruntime", "openvino", "nncf",
    "tritonclient", "numpy",
)  # fmt: skip
CALIBRATION_FRAMES = 2
"""Of each clip: neighbours look alike, and other clips tell more."""
WORK = ".work"
"""End of the name of the folder beside a product that keeps graphs and engines between builds."""


@dataclass(frozen=True)
class Build:
    """What a build found."""

    folder: Path
    """Where the product is."""
    report: BuildReport
    """All figures."""
    fresh: bool
    """False where the product was there and up to date."""
    left_out: int
    """Test clips and stills of classes that the checkpoints do not know: they prove nothing."""


def build(profile: BuildProfile, checkpoints: Path, data: Path, out: Path) -> Build:
    """Tries the profile's candidates, proves and assembles; writes `out` whole or not at all.

    Raises ValueError for checkpoints, data or engines that cannot be used here, and where no
    candidate of a graph is within the budget.
    """
    work = out.with_name(f"{out.name}{WORK}")
    engines = engines_of(profile, work)  # before any work
    variants = variants_from_folder(checkpoints)
    data_set = data_set_from_folder(data)
    known = set(variants.spec.labels)
    left_out = sum(one.label not in known for one in (*data_set.split("test"), *data_set.stills))
    made_from = _made_from(profile, variants, data, engines)
    if is_current(out, made_from):
        return Build(out, BuildReport.from_json(out / REPORT_JSON), False, left_out)
    court = Court(
        profile=profile,
        variants=variants,
        held_out=held_out_of_data(variants, data_set, data, profile.gate_clips),
        graphs=_graph_store(profile, variants, data_set, data, work),
        engines=engines,
        folder=work / "engines",
        threads=tuple(dict.fromkeys(count or usable_cores() for count in profile.threads)),
        most=most_rows(variants),
    )
    selection = Selection(data_set, data, court)
    selection.run()
    with staged(out) as staging:
        report = _written(selection, staging, variants)
        record_inputs(staging, made_from)
    return Build(out, report, True, left_out)


def _made_from(
    profile: BuildProfile, variants: Variants, data: Path, engines: Mapping[EngineName, Engine]
) -> str:
    return fingerprint(
        {
            "profile": profile.model_dump(),
            "checkpoints": variants.hashes(),
            "data": file_hash(data / MANIFEST_FILE),
            "sources": SOURCES,
            "code": [tree_hash(folder) for folder in CODE],
            "cpu": [cpu_name(), sorted(cpu_flags()), usable_cores()],
            "engines": {name: [e.version(), dict(e.settings())] for name, e in engines.items()},
            "packages": provenance(PACKAGES)["versions"],
        }
    )


def most_rows(variants: Variants) -> dict[ServedModel, int]:
    """The max_batch_size of each graph, written in its source."""
    return {
        model: config_from_file(SOURCES / model.name / CONFIG_FILE).max_batch_size
        for model in variants.graphs()
    }


def _graph_store(
    profile: BuildProfile, variants: Variants, data_set: DataSet, data: Path, work: Path
) -> GraphStore:
    spec = variants.spec

    def calibration(model: ServedModel) -> Sequence[Tensors]:
        if model is not VISION_ENCODER:
            return [{TOKENS.name: row[None].numpy()} for row in variants.class_tokens()]
        count = profile.quantization.clips
        clips = clips_of_split(data_set, "train", spec.labels, count)
        frames, _ = frames_of_clips(clips[:count], data, spec.frames, spec.preprocessing.image_size)
        some = frames[:, :: -(-spec.frames // CALIBRATION_FRAMES)]  # (C, T, S, S, 3)
        return [{FRAMES.name: clip[None]} for clip in some]

    return GraphStore(
        folder=work / "graphs",
        variants=variants,
        opset=profile.opset,
        quantization=profile.quantization,
        calibration=calibration,
        made_from=fingerprint(
            {
                "checkpoints": list(variants.hashes().values()),
                "data": file_hash(data / MANIFEST_FILE),
                "code": code_hash(ROOT),
            }
        ),
        threads=usable_cores(),
    )


def _written(selection: Selection, staging: Path, variants: Variants) -> BuildReport:
    """Everything that a product holds."""
    court, profile = selection.court, selection.court.profile
    served = selection.served()
    parity, reference = proof_of_engines(
        profile, variants, selection.data_set, selection.data,
        {model: selection.session(model) for model in served},
        court.held_out,
    )  # fmt: skip
    table = {name: figures.as_table() for name, figures in parity.items()}
    write_repository(
        staging / REPOSITORY, SOURCES, served, variants.spec, tuple(variants.models),
        Given(
            tokenizer=tokenizer_file(next(iter(variants.folders.values()))),
            warmup=sample_bytes(selection.data, selection.data_set.split("test")[0]),
            response_cache=profile.response_cache,
        ),
    )  # fmt: skip
    (staging / REFERENCE_FILE).write_text(reference.model_dump_json() + "\n")
    manifest = _manifest(selection, staging, table)
    write_manifest(staging, manifest)
    report = _report(selection, manifest, table)
    write_report(staging, report)
    return report


def _manifest(selection: Selection, staging: Path, parity: dict[str, dict[str, float]]) -> Manifest:
    variants = selection.court.variants
    hashes = variants.hashes()
    return Manifest(
        profile=selection.court.profile.model_dump(mode="json"),
        checkpoints={
            name: CheckpointRecord(folder=str(place), sha256=hashes[name])
            for name, place in variants.places().items()
        },
        models={
            model.name: GraphRecord(
                engine=graph.engine.name,
                precision=selection.candidate(model).precision,
                threads=graph.threads,
                file=f"{model.name}/{VERSION}/{graph.engine.file}",
                description=graph.engine.describe(graph.file),
            )
            for model, graph in selection.served().items()
        },
        parity=parity,
        files=repository_files(staging / REPOSITORY),
        provenance=provenance(PACKAGES),
    )


def _report(
    selection: Selection, manifest: Manifest, parity: dict[str, dict[str, float]]
) -> BuildReport:
    court = selection.court
    limits, operations = _limits(max(court.threads)), _operations(court.variants)
    rows = [
        candidate_row(trial, limits, operations if model is VISION_ENCODER else None)
        for model, trials in selection.trials.items()
        for trial in trials
    ]
    return BuildReport(
        profile=manifest.profile,
        checkpoints={name: record.model_dump() for name, record in manifest.checkpoints.items()},
        trained=court.held_out.is_trained(),
        held_out_clips=len(court.held_out.truth),
        limits=limits,
        cpu=cpu_name(),
        operations_a_frame=operations,
        candidates=tuple(rows),
        quantization=selection.quantization(),
        temperatures=selection.temperatures,
        end_to_end=parity,
        clip_speed=selection.clip_speed(),
        provenance=manifest.provenance,
    )


def _limits(threads: int) -> Limits:
    flags = cpu_flags()
    measured = {
        kind: operations_a_second(kind, threads, flags) for kind in ("fp32", "bf16", "int8")
    }
    vector = operations_a_second("int8", threads, flags, tiles=False)
    product = int8_operations_a_second(threads) if has_onednn_int8() else None
    return Limits(threads=threads, int8_vector=vector, int8_product=product, **measured)


@torch.no_grad()
def _operations(variants: Variants) -> float:
    """Multiplications and additions of the vision encoder for one frame."""
    side = variants.spec.preprocessing.image_size
    with FlopCounterMode(display=False) as counter:
        variants.any_model.encode_frames(torch.zeros(1, 1, side, side, 3, dtype=torch.uint8))
    return float(counter.get_total_flops())
