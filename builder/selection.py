"""A build under way: which engine serves which graph."""

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from builder.candidates import Candidate, Made
from builder.engines.engine import Session, runs_on_gpu
from builder.engines.onnx_runtime import OnnxRuntime
from builder.graphs import SHARED_GRAPHS
from builder.held_out import clips_of_split, frames_of_clips
from builder.parity import Chain
from builder.repository import ServedGraph
from builder.temperature import temperatures_behind
from builder.trials import REFERENCE, Court, Trial
from builder.tuner import ClipSpeed, measured_clip_speed, smallest_good_run
from clip_har.contract import FRAMES, VISION_ENCODER, ServedModel
from clip_har.dataset import DataSet

RUN_CLIPS = (1, 2, 4)
"""Clips of a run that are tried; a clip alone is many frames, so more seldom pay."""
SIDE_BY_SIDE = 2
"""Runs of the encoder at once for a profile that wants throughput. More would each have fewer
cores, which few requests could not fill; and the weights lie in memory once more for them."""


@dataclass
class Selection:
    """The trials of all graphs, and what they lead to."""

    data_set: DataSet
    data: Path
    court: Court
    trials: dict[ServedModel, list[Trial]] = field(default_factory=dict)
    temperatures: dict[str, dict[str, float]] = field(default_factory=dict)
    frames_per_run: int = 0
    """Frames that the encoder takes at once; 0: as many as come together."""

    def run(self) -> None:
        """Tries all candidates; raises ValueError where a graph has none within the budget."""
        for model in SHARED_GRAPHS:
            self.trials[model] = self.court.try_all(model)
        self._fit_run()
        if self._chosen(VISION_ENCODER).candidate.precision != "fp32":
            self._fit_temperatures()
        for model in self.court.variants.graphs():
            if model not in self.trials:
                self.trials[model] = self.court.try_all(model)

    def _fit_run(self) -> None:
        """Of an encoder that runs on this CPU."""
        trial = self._trial(VISION_ENCODER)
        engine = self.court.engines[trial.made.candidate.engine]
        if not trial.speed or runs_on_gpu(engine.name):
            return
        frames = self.court.held_out.frames  # (C, T, S, S, 3)
        feeds = {
            clips: {FRAMES.name: np.resize(frames, (clips, *frames.shape[1:]))}
            for clips in RUN_CLIPS
        }
        file, threads = trial.made.file, trial.speed.threads
        session = self.court.opened(engine, VISION_ENCODER, file, threads)
        self.frames_per_run = smallest_good_run(session, feeds) * frames.shape[1]

    def _fit_temperatures(self) -> None:
        """Behind an encoder that runs here and whose answers mean something."""
        if not self.court.held_out.is_trained() or not self._trial(VISION_ENCODER).speed:
            return
        spec = self.court.variants.spec
        clips = clips_of_split(self.data_set, "val", spec.labels, self.court.profile.gate_clips)
        size = spec.preprocessing.image_size
        frames, times = frames_of_clips(clips, self.data, spec.frames, size)
        truth = torch.tensor([spec.labels.index(clip.label) for clip in clips])
        encoder = self.session(VISION_ENCODER)
        before = self.court.variants.temperatures()
        after = temperatures_behind(encoder, self.court.variants, frames, times, truth)
        self.temperatures = {
            name: {"before": before[name], "after": after[name]} for name in before
        }
        self.court = self.court.with_temperatures(after)

    def served(self) -> dict[ServedModel, ServedGraph]:
        """The chosen engine of every graph."""
        graphs: dict[ServedModel, ServedGraph] = {}
        for model in self.trials:
            trial, made = self._trial(model), self._chosen(model)
            engine = self.court.engines[made.candidate.engine]
            threads = 0
            if trial.speed and not runs_on_gpu(engine.name):
                threads = trial.speed.threads
            used = threads if model in SHARED_GRAPHS else min(threads, 1)
            graphs[model] = ServedGraph(engine, made.file, used)
        encoder = graphs[VISION_ENCODER]
        wanted = self.court.profile.goal == "throughput" and encoder.threads >= SIDE_BY_SIDE
        lanes = SIDE_BY_SIDE if wanted else 1
        graphs[VISION_ENCODER] = replace(encoder, frames_per_run=self.frames_per_run, lanes=lanes)
        return graphs

    def session(self, model: ServedModel) -> Session:
        """The chosen engine, opened; its graph in ONNX Runtime where it cannot run here."""
        made, threads = self._chosen(model), max(self.court.threads)
        candidate = made.candidate
        engine, file = self.court.engines[candidate.engine], made.file
        if engine.missing():
            engine = OnnxRuntime()
            file = self.court.graphs.path(model, candidate.graph_precision, candidate.float_share)
        return self.court.opened(engine, model, file, threads)

    def clip_speed(self) -> ClipSpeed | None:
        """Of all models one after the other on a held-out clip, with the threads that they are
        served with; None where an engine cannot run."""
        if any(not self._trial(model).speed for model in self.trials):
            return None
        court, served = self.court, self.served()
        frames, times = court.held_out.frames[0], court.held_out.times[0].numpy()
        chosen = {
            m: court.opened(one.engine, m, one.file, one.threads) for m, one in served.items()
        }
        fp32 = {
            model: chosen[model]
            if self.candidate(model).name == REFERENCE
            else court.reference(model, one.threads)
            for model, one in served.items()
        }
        ways = [
            partial(Chain(each).answers, court.variants, frames, times) for each in (chosen, fp32)
        ]
        return measured_clip_speed(*ways)

    def candidate(self, model: ServedModel) -> Candidate:
        """What serves a graph."""
        return self._chosen(model).candidate

    def quantization(self) -> dict[str, object]:
        """How the int8 graphs came about."""
        return {
            model.name: self.court.graphs.notes(model, "int8")
            for model, trials in self.trials.items()
            if any(
                trial.made.candidate.graph_precision == "int8" and trial.tried for trial in trials
            )
        }

    def _trial(self, model: ServedModel) -> Trial:
        return next(trial for trial in self.trials[model] if trial.chosen)

    def _chosen(self, model: ServedModel) -> Made:
        return self._trial(model).made
