"""End to end: the chosen engines against the trained model, on held-out media."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from builder.checkpoints import Variants
from builder.engines.engine import Session
from builder.held_out import HeldOut
from builder.parity import Answer, Chain, Parity, check_texts, class_text_embeds, torch_answers
from builder.profile import BuildProfile
from builder.zero_shot import zero_shot_parities
from clip_har.contract import HAR_ZERO_SHOT, ServedModel
from clip_har.dataset import DataSet, Sample, sample_bytes
from clip_har.limits import Limits
from clip_har.media import frames_from_media
from clip_har.progress import progress_bar
from clip_har.reference import Answers, BuilderError, Reference, ReferenceClip

CLIPS = 2
"""Clips and stills a class."""


def proof_of_engines(
    profile: BuildProfile,
    variants: Variants,
    data_set: DataSet,
    data: Path,
    sessions: Mapping[ServedModel, Session],
    held_out: HeldOut,
) -> tuple[dict[str, Parity], Reference]:
    """Compares torch with the engines; raises ValueError over the budget.

    `held_out` knows what torch says of the frames of some of the clips.
    """
    chain = Chain(sessions)
    parity = {name: Parity() for name in variants.places()}
    texts = class_text_embeds(variants, chain)
    zero_shot = zero_shot_parities(variants, chain, *texts)
    clips: list[ReferenceClip] = []
    size = variants.spec.preprocessing.image_size
    samples = parity_samples(data_set, variants.spec.labels, CLIPS)
    stills = {still.path for still in data_set.stills}
    for sample in progress_bar(samples, "prove parity"):
        media = sample_bytes(data, sample)
        frames, times = frames_from_media(media, variants.spec.frames, size, Limits())
        known = held_out.frame_embeds_of(sample.path)
        truth = torch_answers(variants, frames, times, known)
        given = chain.answers(variants, frames, times)
        told: dict[str, Answers] = {}
        for name, exact in truth.items():
            served, still = given[name], sample.path in stills
            parity[name].add(exact, served, still=still)
            if name in zero_shot:
                zero_shot[name].add(exact, served, still=still)
            told[name] = Answers(torch=_floats(exact), onnx=_floats(served))
        clips.append(ReferenceClip(path=sample.path, sha256=sample.sha256, models=told))
    for name, figures in parity.items():
        figures.check(name, profile.budget, trained=held_out.is_trained())
    check_texts(*texts, profile.budget)
    worst = max(figures.max_probability_error for figures in parity.values())
    for one in zero_shot.values():
        parity[HAR_ZERO_SHOT.name] = one.parity
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
