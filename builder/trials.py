"""One graph's candidates on trial: built, judged, measured, one of them chosen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from builder.candidates import Candidate, Made, candidates_of, made_candidate, ranges_of
from builder.checkpoints import Variants
from builder.engines.engine import (
    Engine,
    EngineName,
    EngineRefusedError,
    InParts,
    Range,
    Session,
)
from builder.engines.onnx_runtime import OnnxRuntime
from builder.gate import Verdict, judged
from builder.graph_store import GraphStore
from builder.held_out import HeldOut
from builder.judge import Judge
from builder.profile import BuildProfile
from builder.tuner import Speed, best_candidate, measured_speeds, reason_for
from clip_har.contract import ServedModel
from clip_har.progress import progress_bar

REFERENCE = "onnxruntime:fp32"
"""The candidate whose speed the others' are multiples of."""
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
    chosen: str = ""
    """Why it is the one that is served; empty of the others."""
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

    @property
    def judge(self) -> Judge:
        """Who compares their answers with the trained models'."""
        return Judge(self.variants, self.held_out)

    def with_temperatures(self, temperatures: Mapping[str, float]) -> "Court":
        """The same, once the models have other temperatures."""
        self.variants.set_temperatures(temperatures)
        return replace(self, held_out=self.held_out.seen_by(self.variants))

    def opened(self, engine: Engine, model: ServedModel, file: Path, threads: int) -> Session:
        """A graph's file, to be run on any number of rows; raises as `Engine.open` does."""
        return InParts(engine.open(file, threads), self.most[model])

    def try_all(self, model: ServedModel) -> list[Trial]:
        """The trials of a graph's candidates; raises ValueError where none of them passes."""
        ranges = ranges_of(model, self.variants.spec, self.most[model])
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
            session = self.opened(engine, candidate.model, file, max(self.threads))
            figures = self.judge.figures(candidate.model, session)
        except (EngineRefusedError, RuntimeError) as error:
            fault = f"could not be run: {str(error).splitlines()[0]}"
            return Trial(made, faults=(fault,), note=note)
        verdict = judged(figures, self.profile.budget, trained=self.held_out.is_trained())
        return Trial(made, verdict=verdict, faults=verdict.faults, note=note)

    def _chosen(
        self, model: ServedModel, trials: dict[str, Trial], passed: Mapping[str, Trial]
    ) -> list[Trial]:
        runnable = {
            name: self._opener(trial.made) for name, trial in passed.items() if not trial.note
        }
        sizes = {name: trial.made.bytes for name, trial in passed.items()}
        speeds: dict[str, Speed] = {}
        if runnable:
            batch, single = (self.judge.feeds(model, rows) for rows in (self.profile.batch, 1))
            opened = {REFERENCE: partial(self.reference, model)} | runnable
            measured = measured_speeds(opened, self.threads, batch, single, self.profile.batch)
            speeds = {name: measured[name] for name in runnable}
            sizes = {name: sizes[name] for name in runnable}
        goal = self.profile.goal if runnable else "size"
        best = best_candidate(goal, speeds, sizes)
        reason = reason_for(best, goal, speeds, sizes)
        return [
            replace(trial, speed=speeds.get(name), chosen=reason if name == best else "")
            for name, trial in trials.items()
        ]

    def _opener(self, made: Made) -> Callable[[int], Session]:
        model, engine = made.candidate.model, self.engines[made.candidate.engine]
        return lambda threads: self.opened(engine, model, made.file, threads)

    def reference(self, model: ServedModel, threads: int) -> Session:
        """What speeds are told as times of, also where it is no candidate or did not pass."""
        return self.opened(OnnxRuntime(), model, self.graphs.path(model, "fp32"), threads)
