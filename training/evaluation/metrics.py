"""What an evaluation finds, as `metrics.json` keeps it. Shares and probabilities are in [0, 1].

Intervals are 95 % bootstrap intervals over clips, (low, high).
"""

from typing import Literal

from pydantic import Field

from clip_har.config import Config
from clip_har.dataset import Tier
from training.evaluation.bootstrap import Interval
from training.evaluation.stage_figures import Gain, StageFigures

METRICS_FILE, REPORT_FILE = "metrics.json", "report.html"
Protocol = Literal["EP1", "half-class", "base-to-novel", "trained-names"]
AnswersBy = Literal["head", "names"]


class Calibration(Config):
    """How honest probabilities are."""

    ece: float
    """Expected calibration error: 15 bins of equal width, L1 (Guo et al., 2017)."""
    nll: float
    """Mean negative log-likelihood of the truth."""
    brier: float
    """Mean squared distance to the one-hot truth, summed over classes, in [0, 2]."""


class Bin(Config):
    """Clips of about one confidence."""

    clips: int
    """How many."""
    confidence: float
    """Mean probability of the class named first; 0 for an empty bin."""
    accuracy: float
    """Share named right; 0 for an empty bin."""


class ClassFigures(Config):
    """One class."""

    label: str
    """Its name."""
    clips: int
    """Clips that show it."""
    precision: float
    """Share of the clips called so that are."""
    recall: float
    """Share of the clips that are called so."""
    f1: float
    """Harmonic mean of both."""


class Classification(Config):
    """Answers to clips whose class is known."""

    clips: int
    """Clips asked about."""
    top1: float
    """Share whose first answer is right."""
    top1_interval: Interval
    """Of `top1`."""
    top5: float
    """Share with the right class among the first five answers."""
    mean_class_accuracy: float
    """Mean recall of the classes."""
    mean_class_accuracy_interval: Interval
    """Of `mean_class_accuracy`."""
    temperature: float
    """What divides the logits; fitted on validation."""
    ece: float
    """Expected calibration error, with the temperature."""
    nll: float
    """Mean negative log-likelihood, with the temperature."""
    brier: float
    """Brier score, with the temperature."""
    before_temperature: Calibration
    """The same without the temperature."""
    reliability: tuple[Bin, ...]
    """15 bins of confidence, with the temperature."""
    reliability_before: tuple[Bin, ...]
    """The same without the temperature."""
    per_class: tuple[ClassFigures, ...]
    """Every class, in the order of the model's outputs."""
    confusion: tuple[tuple[int, ...], ...]
    """Clips of class i (row) that are called class j (column)."""


class OrderTier(Config):
    """Pairs of clips with the same frames in both orders: a coin gets half of them right."""

    pairs: int
    """Pairs; each is two clips to decide."""
    accuracy: float
    """Share of clips on the right side of the two classes."""
    interval: Interval
    """Of `accuracy`, drawn over pairs."""
    swap_rate: float
    """Share of pairs whose two clips get opposite answers."""
    shuffled: float
    """Mean accuracy over random orders of the frames: chance, if only order was used."""
    shuffled_interval: Interval
    """Of `shuffled`, drawn over pairs."""
    frame_bag: float
    """Accuracy of the control that averages frames: 0.5, if the test is fair."""
    frame_bag_max_logit_difference: float
    """Most that a reversal moves a logit of that control."""


class Order(Config):
    """Whether a model knows the order of frames: accuracy by tier; None: the data has no such."""

    reversal: float | None = None
    """A clip against its exact reversal."""
    closed_loop: float | None = None
    """The same where the last frame is the first."""
    rotation: float | None = None
    """Clockwise against counterclockwise, from a random phase."""
    nuisance: float | None = None
    """Unseen bodies, backgrounds and tempos, with random onsets."""
    frame_bag: dict[Tier, float] = Field(default_factory=dict)
    """The same of the control that averages frames, which cannot know."""
    tiers: dict[Tier, OrderTier] = Field(default_factory=dict)
    """All figures of a tier."""
    still_max_probability_difference: float | None = None
    """Most that repeating a picture as a clip moves a probability of that picture."""


class Held(Classification):
    """One variant on held-out clips."""

    order: Order | None = None
    """None: the data has no pairs."""


class Interpolation(Config):
    """Between frozen and tuned: weights (1 - alpha) before the CLIP was tuned + alpha after it."""

    alpha: float
    """0: the pretrained CLIP with what the frozen stages trained on it; 1: the tuned model."""
    top1: float
    """Of the main variant on validation clips; both ways, where training plays clips backwards."""
    zero_shot: float
    """On validation clips of untrained classes, by their names."""
    harmonic_mean: float
    """Of both."""
    nll: float
    """Negative log-likelihood of the same validation clips as `top1`, with their best temperature:
    decides where harmonic means are equal."""
    test_top1: float
    """As `top1`, on test clips: for the record, nothing is chosen by it."""
    test_zero_shot: float
    """As `zero_shot`, on test clips: for the record."""
    shipped: bool
    """Whether the checkpoints hold this one."""


class Member(Config):
    """One voice of an ensemble."""

    name: str
    """A variant, or `zero-shot`."""
    weight: float
    """Share of its probabilities in the sum; fitted on validation."""
    val_top1: float | None
    """Alone, on validation clips; None: they were not asked."""
    test_top1: float
    """Alone, on test clips."""


class EnsembleFigures(Config):
    """The weighted sum of the members' probabilities."""

    members: tuple[Member, ...]
    """Its voices."""
    val_top1: float | None
    """On validation clips; None: they were not asked."""
    test: Classification
    """On test clips. Its temperature is 1: its members have theirs."""


class ZeroShot(Config):
    """Classes recognised from their names, without a classifier."""

    protocol: Protocol
    """How it was measured; figures of different protocols must not be compared."""
    variant: str
    """Whose clip embeddings."""
    classes: int
    """Names to choose from."""
    trained: int = 0
    """Names of the data set that training saw: with any, this is no zero-shot figure."""
    clips: int
    """Clips asked about."""
    accuracy: float
    """Share named right; with several draws, the mean."""
    interval: Interval
    """Of `accuracy`."""
    std: float | None = None
    """Deviation over the draws of a protocol that draws classes."""
    chance: float
    """What guessing gets."""
    frozen: float
    """The same of the pretrained CLIP, by the mean of its frames."""
    frozen_interval: Interval
    """Of `frozen`."""
    retention: float
    """`accuracy` less `frozen`."""
    base: float | None = None
    """base-to-novel: accuracy of the trained classes among themselves, by their names."""
    harmonic_mean: float | None = None
    """base-to-novel: of `base` and `accuracy`."""


class Cost(Config):
    """What one answer costs."""

    parameters: int
    """Numbers in the model as it is served, text tower left out."""
    gflops_per_view: float
    """Multiplications and additions of one clip of one crop, in 10^9."""
    views: int
    """Clips times crops of an answer."""
    batch: int
    """Clips at once, for the times."""
    ms_per_clip: float
    """Median milliseconds of a clip, one view, decoding left out."""
    device: str
    """Where it was timed."""


class Metrics(Config):
    """All that is known of a run or a checkpoint."""

    format: Literal[1] = 1
    """Version of this description."""
    name: str
    """Of the run or checkpoint."""
    data: str
    """Name of the data set."""
    source: str
    """Where its media come from."""
    manifest_sha256: str
    """Which version of it."""
    split: str
    """The split that `test` is about."""
    answers_by: AnswersBy = "head"
    """What gives the answers of `test`: the trained head, or the names of the classes."""
    labels: tuple[str, ...]
    """Classes to choose from."""
    held_out_labels: tuple[str, ...]
    """Classes of the data set that were never trained."""
    frames: int
    """Frames of a view."""
    clips_per_video: int
    """Views along time."""
    crops: int
    """Views across a frame."""
    prompts: tuple[str, ...]
    """Templates of the class texts."""
    variant: str
    """The main variant, which `test` is about."""
    test: Held
    """The main variant on held-out clips."""
    variants: dict[str, Held]
    """Every variant on held-out clips, the main one too."""
    ensemble: EnsembleFigures | None = None
    """All of them together."""
    stages: tuple[StageFigures, ...] = ()
    """The model after each stage of training."""
    gain: Gain | None = None
    """What the later stages won over the first; None: there was one alone, or none."""
    interpolation: tuple[Interpolation, ...] = ()
    """The sweep that chose the shipped weights."""
    zero_shot: tuple[ZeroShot, ...] = ()
    """Recognition by name alone."""
    cost: dict[str, Cost]
    """By variant."""
    trained_parameters: dict[str, int] = Field(default_factory=dict)
    """Numbers that each stage of training could change, of all variants together."""
    skipped_clips: tuple[str, ...] = ()
    """Why each clip that could not be decoded was left out."""
    provenance: dict[str, object]
    """Date, versions, machine, revision."""
