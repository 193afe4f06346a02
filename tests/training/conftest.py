"""Small real runs: rendered clips, a CLIP, and what training makes of both. A test changes none."""

import os
import shutil
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from clip_har.dataset import MANIFEST_FILE, DataSet, data_set_from_folder
from clip_har.product import file_hash
from training.action_model import ActionModel
from training.features import FeatureSet
from training.mocap.render import MocapConfig, render_mocap
from training.pretrain import PretrainConfig, Tower, pretrain
from training.run import Run, begun_run
from training.settings import TrainConfig
from training.train import accelerator_for, train

RENDERS = MocapConfig(
    seed=3,
    side=32,
    fps=8,
    train_clips=1,
    val_clips=1,
    test_clips=1,
    stills=1,
    closed_loop=1,
    rotation=1,
    nuisance=1,
)
PRETRAINING = PretrainConfig(
    seed=5,
    takes=17,
    val_takes=2,
    rendered=32,
    image_size=32,
    patch_size=16,
    embed_dim=16,
    vision=Tower(width=32, layers=1, heads=2),
    text=Tower(width=32, layers=1, heads=2),
    vocabulary=600,
    context=48,
    batch=32,
    steps=9,
    learning_rate=1e-3,
    warmup=3,
    decay=3,
    weight_decay=0.05,
    save_every=3,
)
HELD_OUT = ("kicking", "running", "crawling")
STAGES: dict[str, dict[str, Any]] = {
    "frozen": {
        "trains": "frozen",
        "epochs": 2.5,
        "warmup_epochs": 0.5,
        "batch": 8,
        "learning_rate": 0.01,
        "distillation": 0.5,
        "noise": 0.1,
        "ema": 0.9,
        "patience": 3,
        "validate_epochs": 0.5,
        "save_steps": 1,
    },
    "lora": {
        "trains": "lora",
        "epochs": 1.5,
        "batch": 8,
        "accumulate": 2,
        "learning_rate": 0.01,
        "encoder_learning_rate": 0.01,
        "blocks": 1,
        "lora_rank": 2,
        "distillation": 0.5,
        "save_steps": 2,
        "augmentation": {"crop_scale": [0.8, 1.0], "colour": 0.5, "mixup": 0.4},
    },
    "unfrozen": {
        "trains": "unfrozen",
        "epochs": 1.5,
        "batch": 8,
        "learning_rate": 0.01,
        "encoder_learning_rate": 0.01,
        "blocks": 1,
        "ema": 0.9,
        "save_steps": 2,
    },
}
"""On the 16 training clips of the classes that are not held out."""
Settings = Callable[..., TrainConfig]


@contextmanager
def no_pools() -> Generator[None]:
    """What decodes beside this process does it here: a process takes seconds to start."""

    class Here(Executor):
        def submit(self, work: Callable[..., Any], /, *jobs: Any, **named: Any) -> Future[Any]:
            answer = Future[Any]()
            try:
                answer.set_result(work(*jobs, **named))
            except Exception as error:
                answer.set_exception(error)
            return answer

    @contextmanager
    def pool(setup: Callable[..., object], *inputs: object) -> Generator[Executor]:
        setup(*inputs)
        yield Here()

    with pytest.MonkeyPatch.context() as patched:
        for module in ("features", "held_out"):
            patched.setattr(f"training.{module}.worker_pool", pool)
        yield


@pytest.fixture(scope="session")
def without_pools() -> Callable[[], AbstractContextManager[None]]:
    """Gives `no_pools`, for what lives longer than a test."""
    return no_pools


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Sums in the same order everywhere, in the processes started from here as well."""
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def renders() -> MocapConfig:
    return RENDERS


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mocap data set at its smallest."""
    folder = tmp_path_factory.mktemp("rendered") / "mocap"
    assert render_mocap(RENDERS, folder, lambda clips, _title, _total: clips)
    return folder


@pytest.fixture(scope="session")
def data_set(rendered: Path) -> DataSet:
    return data_set_from_folder(rendered)


@pytest.fixture(scope="session")
def settings() -> PretrainConfig:
    return PRETRAINING


@pytest.fixture(scope="session")
def pretraining(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished, uninterrupted run: `run` with its frames and states, `clip`."""
    folder = tmp_path_factory.mktemp("pretraining")
    pretrain(PRETRAINING, folder / "run", folder / "clip")
    return folder


@pytest.fixture(scope="session")
def backbone(pretraining: Path) -> Path:
    return pretraining / "clip"


@pytest.fixture(scope="session")
def settings_of(small_clip: Path) -> Settings:
    """Settings of a run of all stages, with changes if wanted."""

    def settings(**changes: Any) -> TrainConfig:
        table = {
            "seed": 1,
            "backbone": str(small_clip),
            "frames": 4,
            "train_frames": [3, 5],
            "prompts": ["a person {}", "someone {}"],
            "held_out_labels": HELD_OUT,
            "still_share": 0.25,
            "crop": 0.75,
            "reversed_share": 0.5,
            "alpha": "sweep",
            "workers": 1,
            "tracker": "none",
            "variants": {
                "base": {"temporal": "mean", "rate": 2.0},
                "temporal": {"temporal": "attention_motion"},
            },
            "stages": STAGES,
        }
        return TrainConfig.from_table({**table, **changes}, "tests")

    return settings


@pytest.fixture(scope="session")
def lean(rendered: Path, data_set: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same data set with one kind of pairs, for training runs."""
    folder = tmp_path_factory.mktemp("lean") / "mocap"
    shutil.copytree(rendered, folder)
    pairs = tuple(pair for pair in data_set.pairs if pair.tier == "reversal")
    lean = data_set.model_copy(update={"pairs": pairs})
    (folder / MANIFEST_FILE).write_text(lean.model_dump_json())
    return folder


@pytest.fixture
def broken_copy(tmp_path: Path) -> Callable[..., Path]:
    """Copies a data set, and cuts off some of its files before their hashes are listed."""

    def made(data: Path, *paths: str) -> Path:
        folder = tmp_path / "broken"
        shutil.copytree(data, folder)
        for path in paths:
            (folder / path).write_bytes((folder / path).read_bytes()[:-500])
        data_set = data_set_from_folder(folder)
        clips = tuple(
            clip.model_copy(update={"sha256": file_hash(folder / clip.path)})
            for clip in data_set.clips
        )
        table = data_set.model_copy(update={"clips": clips})
        (folder / MANIFEST_FILE).write_text(table.model_dump_json())
        return folder

    return made


@pytest.fixture(scope="session")
def trained(settings_of: Settings, lean: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished, uninterrupted run of all stages."""
    out = tmp_path_factory.mktemp("trained") / "run"
    with no_pools():
        train(settings_of(), lean, out, "python -m training train")
    return out


@pytest.fixture(scope="session")
def run(settings_of: Settings, lean: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that has not begun."""
    config, out = settings_of(), tmp_path_factory.mktemp("begun") / "run"
    return begun_run(config, lean, out, accelerator_for(config, out))


@pytest.fixture
def model(run: Run) -> ActionModel:
    """Before any training; a test may change it."""
    return run.begun()


@pytest.fixture
def in_one_process() -> Generator[None]:
    """Clips are decoded in this process."""
    with no_pools():
        yield


@pytest.fixture
def by_hand() -> FeatureSet:
    """Clip 0 of 4 s: frames of 1, 1 and 2 s. Clip 1 of 1 s: 2 frames of the same length."""
    embeds = torch.tensor([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [0.0]]])
    return FeatureSet(
        embeds=embeds,
        ends=torch.tensor([[0.25, 0.5, 1.0], [0.5, 1.0, 2.0]]),
        seconds=torch.tensor([4.0, 1.0]),
        labels=torch.tensor([0, 1]),
    )
