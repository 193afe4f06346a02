"""Small real runs: rendered clips and a pretrained CLIP. A test changes neither."""

import os
from pathlib import Path

import pytest
import torch

from clip_har.dataset import DataSet, data_set_from_folder
from training.features import FeatureSet
from training.mocap.render import MocapConfig, render_mocap
from training.pretrain import PretrainConfig, Tower, pretrain

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


@pytest.fixture
def by_hand() -> FeatureSet:
    """Clip 0 of 4 s: frames of 1, 1 and 2 s. Clip 1 of 1 s: 2 frames of the same length."""
    embeds = torch.tensor([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [0.0]]])
    return FeatureSet(
        embeds=embeds,
        ends=torch.tensor([[0.25, 0.5, 1.0], [0.5, 1.0, 2.0]]),
        seconds=torch.tensor([4.0, 1.0]),
        centres=torch.tensor([[0, 2], [0, 1]]),
        labels=torch.tensor([0, 1]),
    )
