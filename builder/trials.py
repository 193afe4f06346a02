"""One graph's candidates on trial: built, judged, measured, one of them chosen.

C clips, T frames, D embedding.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from builder.candidates import Candidate, Made, candidates_of, made_candidate, ranges_of
from builder.checkpoints import Variants
from builder.engines.engine import (
    Array,
    Engine,
    EngineName,
    EngineRefusedError,
    Range,
    Session,
    Tensors,
)
from builder.engines.onnx_runtime import OnnxRuntime
from builder.gate import Figures, Verdict, class_figures, cosine_figures, judged
from builder.graph_store import GraphStore
from builder.graphs import VARIANT_GRAPHS
from builder.held_out import HeldOut, frame_embeds_of_clips
from builder.profile import BuildProfile
from builder.tuner import Speed, best_candidate, measured_speeds
from clip_har.contract import (
    CLIP_EMBED,
    EMBEDDINGS,
    FRAME_EMBEDS,
    FRAMES,
    MIXTURE,
    PROBS,
    SCORES,
    SIMILARITY,
    TEXT_EMBED,
    TEXT_ENCODER,
    TIMES,
    TOKENS,
    VISION_ENCODER,
    ServedModel,
)
from clip_har.nn.head import probabilities
from clip_har.progress import progress_bar
from clip_har.spec import TemporalKind

FLOAT_SHARES = (0.125, 0.25, 0.5)
"""Shares of an int8 graph's products that are left float in turn where the budget is not met."""


@dataclass(frozen=True)
class Trial:
    """What is known of one candidate."""

    made: Made
    verdict: Verdict | None = None
    """None where it could not be run, not even its graph."""
    speed: Speed | None = None
    """None where it did not pass, or cannot run here."""
    faults: tuple[str, ...] = ()
    """Why it is not published; empty where it may be."""
    note: str = ""
    """What could not be done with it here."""
    chosen: bool = False
    """Whether it is the one that is served."""
    tried: bool = True
    """False where nobody built it, since it cannot gain anything on this machine."""


@dataclass(frozen=True)
class Court:
    """What all candidates of a build are judged by."""

    profile: BuildProfile
    variants: Variants
    held_out: HeldOut
    graphs: GraphStore
    engines: Mapping[EngineName, Engine]
    folder: Path
    """Holds the served file of every candidate."""
    threads: tuple[int, ...]
    """Numbers of threads that encoders are tried with."""
    most: Mapping[ServedModel, int]
    """The max_batch_size of each graph's config.pbtxt."""

    def with_temperatures(self, temperatures: Mapping[str, float]) -> "Court":
        """The same, once the models have other temperatures."""
        self.variants.set_temperatures(temperatures)
        return replace(self, held_out=self.held_out.seen_by(self.variants))

    def try_all(self, model: ServedModel) -> list[Trial]:
        """The trials of a graph's candidates; raises ValueError where none of them passes."""
        spec = self.variants.spec
        ranges = ranges_of(model, spec.sizes, spec.frames, self.most[model])
        trials = self._all_tried(candidates_of(model, self.profile), ranges)
        passed = {name: trial for name, trial in trials.items() if not trial.faults}
        if not passed:
            told = "; ".join(f"{n}: {', '.join(t.faults)}" for n, t in trials.items())
            raise ValueError(
                f"{model.name}: no candidate of profile {self.profile.name} is within its budget, "
                f"so nothing is published. {told}"
            )
        return self._chosen(model, trials, passed)

    def _all_tried(
        self, candidates: Sequence[Candidate], ranges: Mapping[str, Range]
    ) -> dict[str, Trial]:
        """Trials by name; what gains nothing on this machine has one only if nothing else passes.

        A small file is a gain wherever it is built.
        """
        pointless = {
            one.name: self.engines[one.engine].pointless(one.precision)
            for one in candidates
            if self.profile.goal != "size"
        }
        trials: dict[str, Trial] = {}
        for one in progress_bar(candidates, f"build and judge {candidates[0].model.name}"):
            if reason := pointless.get(one.name):
                made = Made(one, Path(), 0.0, f"not tried: {reason}")
                trials[one.name] = Trial(made, faults=(made.fault,), tried=False)
            else:
                trials[one.name] = self._tried(one, ranges)
        if all(trial.faults for trial in trials.values()):
            left_out = [one for one in candidates if not trials[one.name].tried]
            trials |= {one.name: self._tried(one, ranges) for one in left_out}
        return trials

    def _tried(self, candidate: Candidate, ranges: Mapping[str, Range]) -> Trial:
        """The candidate on trial; in int8, with as few products in float as the budget asks for.

        Engines round differently: what one may do to a graph, another may not.
        """
        engine = self.engines[candidate.engine]
        trial = self._judged(made_candidate(candidate, engine, self.graphs, ranges, self.folder))
        for share in FLOAT_SHARES:
            if candidate.precision != "int8" or not (trial.verdict and trial.faults):
                break
            more = replace(candidate, float_share=share)
            trial = self._judged(made_candidate(more, engine, self.graphs, ranges, self.folder))
        return trial

    def _judged(self, made: Made) -> Trial:
        if made.fault:
            return Trial(made, faults=(made.fault,))
        candidate, file, note = made.candidate, made.file, ""
        engine = self.engines[candidate.engine]
        if missing := engine.missing():
            note = f"{candidate.engine} cannot run here, so its graph was judged in ONNX Runtime"
            note += f" ({missing})"
            engine = OnnxRuntime()
            file = self.graphs.path(
                candidate.model, candidate.graph_precision, candidate.float_share
            )
        try:
            session = engine.open(file, max(self.threads))
            figures = self._figures(candidate.model, session)
        except (EngineRefusedError, RuntimeError) as error:
            fault = f"could not be run: {str(error).splitlines()[0]}"
            return Trial(made, faults=(fault,), note=note)
        verdict = judged(figures, self.profile.budget, trained=self.held_out.is_trained())
        return Trial(made, verdict=verdict, faults=verdict.faults, note=note)

    def _figures(self, model: ServedModel, session: Session) -> Figures:
        held_out, trained = self.held_out, self.held_out.is_trained()
        if model is TEXT_ENCODER:
            answer = session.run({TOKENS.name: held_out.tokens.numpy()})[TEXT_EMBED.name]
            cosines = cosine_figures(held_out.text_embeds, torch.from_numpy(answer))
            return Figures.model_validate({"rows": len(answer), **cosines})
        if model is MIXTURE:
            probs = torch.from_numpy(session.run(self._clips(model))[PROBS.name])
            assert held_out.mixed is not None
            classes = class_figures(held_out.mixed, probs, held_out.truth, trained=trained)
            return Figures.model_validate({"rows": len(probs), **classes})
        kind = self._variant(model)
        if model is SIMILARITY:
            return self._score_figures(kind, session)
        exact = held_out.recognised[kind]
        cosines, probs = self._answer(model, kind, session)
        classes = class_figures(exact.probs, probs, held_out.truth, trained=trained)
        return Figures.model_validate({"rows": len(probs), **cosines, **classes})

    @torch.inference_mode()
    def _score_figures(self, kind: TemporalKind, session: Session) -> Figures:
        """How the classes' texts are scored, against the trained model's scores."""
        held_out, model = self.held_out, self.variants.models[kind]
        embeds = held_out.recognised[kind].embedding
        exact = model.text_logits(embeds, held_out.class_embeds()).softmax(dim=-1)  # (C, K)
        given = session.run(self._feeds(SIMILARITY, len(embeds)))[SCORES.name]
        classes = class_figures(
            exact, torch.from_numpy(given), held_out.truth, trained=held_out.is_trained()
        )
        return Figures.model_validate({"rows": len(given), **classes})

    @torch.inference_mode()
    def _answer(
        self, model: ServedModel, kind: TemporalKind, session: Session
    ) -> tuple[dict[str, float], Tensor]:
        """Cosines of what the graph gives, and the class probabilities that follow from it."""
        held_out, trained = self.held_out, self.variants.models[kind]
        exact = held_out.recognised[kind]
        if model is VISION_ENCODER:
            embeds = frame_embeds_of_clips(session, held_out.frames)
            seen = trained.recognise(embeds, held_out.times)
            return self._encoder_cosines(embeds), seen.probs
        if model is VARIANT_GRAPHS_OF[kind][0]:
            pooled = torch.from_numpy(session.run(self._clips(model))[CLIP_EMBED.name])
            probs = probabilities(trained.head(pooled), trained.spec.temperature)
            return cosine_figures(exact.embedding, pooled), probs
        probs = session.run({CLIP_EMBED.name: exact.embedding.numpy()})[PROBS.name]
        return {}, torch.from_numpy(probs)

    def _encoder_cosines(self, embeds: Tensor) -> dict[str, float]:
        """Of frames (C, T, D), and of the clip embeddings that every variant makes of them."""
        held_out = self.held_out
        figures = cosine_figures(held_out.frame_embeds, embeds)
        for kind, model in self.variants.models.items():
            clips = model.recognise(embeds, held_out.times).embedding
            of_clips = cosine_figures(held_out.recognised[kind].embedding, clips)
            figures["min_cosine"] = min(figures["min_cosine"], of_clips["min_cosine"])
        return figures

    def _clips(self, model: ServedModel) -> Tensors:
        """The held-out clips as a graph behind the encoder takes them."""
        feeds = {
            FRAME_EMBEDS.name: self.held_out.frame_embeds.numpy(),
            TIMES.name: self.held_out.times.numpy(),
        }
        return {tensor.name: feeds[tensor.name] for tensor in model.inputs}

    def _variant(self, model: ServedModel) -> TemporalKind:
        """The variant that a graph belongs to; the last one, of those that share it."""
        kinds: list[TemporalKind] = list(self.variants.models)
        owners: list[TemporalKind] = [kind for kind in kinds if model in VARIANT_GRAPHS_OF[kind]]
        return (owners or kinds)[-1]

    def _chosen(
        self, model: ServedModel, trials: dict[str, Trial], passed: Mapping[str, Trial]
    ) -> list[Trial]:
        runnable = {
            name: self._opener(trial.made) for name, trial in passed.items() if not trial.note
        }
        sizes = {name: trial.made.bytes for name, trial in passed.items()}
        speeds: dict[str, Speed] = {}
        if runnable:
            batch, single = self._feeds(model, self.profile.batch), self._feeds(model, 1)
            speeds = measured_speeds(runnable, self.threads, batch, single, self.profile.batch)
            sizes = {name: sizes[name] for name in runnable}
        best = best_candidate(self.profile.goal if runnable else "size", speeds, sizes)
        return [
            replace(trial, speed=speeds.get(name), chosen=name == best)
            for name, trial in trials.items()
        ]

    def _opener(self, made: Made) -> Callable[[int], Session]:
        engine = self.engines[made.candidate.engine]
        return lambda threads: engine.open(made.file, threads)

    def _feeds(self, model: ServedModel, rows: int) -> Tensors:
        """Real inputs of a graph for `rows` frames, clips or texts."""
        held_out = self.held_out
        exact = held_out.recognised[self._variant(model)]
        stacked = held_out.frames.reshape(-1, 1, *held_out.frames.shape[2:])
        known: dict[str, Array] = {
            FRAMES.name: stacked,
            FRAME_EMBEDS.name: held_out.frame_embeds.numpy(),
            TIMES.name: held_out.times.numpy(),
            CLIP_EMBED.name: exact.embedding.numpy(),
            EMBEDDINGS.name: held_out.class_embeds()[None].numpy(),
            TOKENS.name: held_out.tokens.numpy(),
        }
        return {
            tensor.name: np.resize(known[tensor.name], (rows, *known[tensor.name].shape[1:]))
            for tensor in model.inputs
        }


VARIANT_GRAPHS_OF: Mapping[TemporalKind, tuple[ServedModel, ...]] = {
    kind: tuple(graphs) for kind, graphs in VARIANT_GRAPHS.items()
}
"""The graphs of a variant: first the pooling, then the classifier."""
