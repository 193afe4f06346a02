"""Two processes on the CPU (gloo) do what one does.

Accelerate offers FSDP on GPUs alone. Here the weights are spread over processes with torch's
`fully_shard`, which it calls; what it wraps, and on how many GPUs, is not tested without them.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training.batches import Share, parts_of
from training.prediction import seen_by
from training.run import Run, begun_run, run_fingerprints
from training.settings import Stage, TrainConfig
from training.staging import run_stages
from training.train import accelerator_for
from training.views import Schedule

# Processes that decode load this file too, so nothing is loaded outside of main.
SCRIPT = """
if __name__ == "__main__":
    import sys
    from two_processes import main

    main(sys.argv[1])
"""
FOLDER = Path(__file__).parent
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node=2")
ACCELERATE = ("accelerate.commands.launch", "--multi_gpu", "--num_processes=2",
              "--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no",
              "--main_process_port=0")  # fmt: skip
TIMEOUT = 200
STEPS = {"frozen": 4, "early": 2, "lora": 3, "unfrozen": 3}


@pytest.fixture(scope="module")
def config(settings_of: Callable[..., TrainConfig]) -> TrainConfig:
    """Without what every process draws for itself (dropout) or for its own clips (mixup).

    In `early` hardly anything changes, so it stops at its second validation.
    """
    stages = settings_of().model_dump()["stages"]
    stages["lora"]["augmentation"]["mixup"] = 0.0
    stages["lora"]["patience"] = 3  # validates before it trains
    early = {**stages["frozen"], "learning_rate": 1e-9, "patience": 1, "ema": 0.0}
    return settings_of(dropout=0.0, stages={"frozen": stages["frozen"], "early": early, **stages})


@pytest.fixture(scope="module", autouse=True)
def descent() -> Iterator[None]:
    """The optimizer of two_processes.py."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            torch.optim, "AdamW", lambda groups: torch.optim.SGD(groups, lr=0.0, momentum=0.9)
        )
        yield


def opened(folder: Path, config: TrainConfig) -> Run:
    out = folder / "run"
    return begun_run(config, folder / "data", out, accelerator_for(config, out))


@pytest.fixture(scope="module")
def alone(
    config: TrainConfig,
    lean: Path,
    without_pools: Callable[[], AbstractContextManager[None]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The stages of one process, and what it sees in the end."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "data").symlink_to(lean)
    with without_pools():
        run = opened(folder, config)
        results = run_stages(run, run_fingerprints(config, lean))
        run.split("val", novel=True)
    assert {one.name: one.steps for one in results} == STEPS
    return folder


@pytest.fixture
def folder(alone: Path, tmp_path: Path) -> Path:
    """Of a run that has decoded its data, and no more."""
    (tmp_path / "data").symlink_to((alone / "data").resolve())
    for kept in ("features", "views"):
        shutil.copytree(alone / "run" / kept, tmp_path / "run" / kept)
    return tmp_path


def interrupt(
    folder: Path, alone: Path, config: TrainConfig, stage: str, at: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Leaves the run as one process that was interrupted in a stage, after its saved state."""

    def factor(step: int, schedule: Schedule, settings: Stage) -> float:
        if (settings, step) == (config.stages[stage], at):
            raise KeyboardInterrupt
        return true_factor(step, schedule, settings)

    from training.loop import rate_factor as true_factor

    for done in list(config.stages)[: list(config.stages).index(stage)]:
        (finished,) = (alone / "run" / "stages").glob(f"*-{done}")
        shutil.copytree(finished, folder / "run" / "stages" / finished.name)
    monkeypatch.setattr("training.loop.rate_factor", factor)
    with pytest.raises(KeyboardInterrupt):
        run_stages(opened(folder, config), run_fingerprints(config, folder / "data"))
    (state,) = (folder / "run" / "states").iterdir()
    assert json.loads((state / "state.json").read_text())["step"] == at


def launch(folder: Path, config: TrainConfig, what: str, *launcher: str) -> list[dict[str, int]]:
    """Runs both processes to their end; gives the steps that each took, by stage."""
    (folder / "config.json").write_text(config.model_dump_json())
    (folder / "launched.py").write_text(SCRIPT)
    path = os.pathsep.join(map(str, (FOLDER.parents[1], FOLDER)))
    finished = subprocess.run(
        [sys.executable, "-m", *launcher, "launched.py", what],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,  # a process that waits for another in vain
    )
    assert finished.returncode == 0, finished.stderr[-6000:]
    return [json.loads((folder / f"steps-{process}.json").read_text()) for process in range(2)]


def check_equal(folder: Path, alone: Path) -> None:
    """The weights that every stage ended with."""
    files = sorted((alone / "run" / "stages").glob("*/model.safetensors"))
    assert len(files) == len(STEPS)
    for file in files:
        ours, theirs = load_file(folder / file.relative_to(alone)), load_file(file)
        assert ours.keys() == theirs.keys()
        for name, weight in theirs.items():
            torch.testing.assert_close(ours[name], weight, atol=2e-7, rtol=2e-6)


def test_two_processes_train_what_one_does(alone: Path, folder: Path, config: TrainConfig) -> None:
    steps = launch(folder, config, "replicated", *TORCHRUN)
    assert steps == [STEPS, STEPS]  # early stopping is decided alike on both
    check_equal(folder, alone)
    run = opened(alone, config)
    novel = run.split("val", novel=True).views
    assert len(novel) == 3  # which two processes do not divide
    expected = seen_by(run.loaded(alone / "run" / "stages" / "4-unfrozen"), novel)
    for process in range(2):
        seen = load_file(folder / f"seen-{process}.safetensors")
        torch.testing.assert_close(seen["embeds"], expected.embeds, atol=1e-5, rtol=0)
        assert torch.equal(seen["times"], expected.times)


def test_a_broken_clip_that_only_the_second_process_sees_is_told_once(
    alone: Path, folder: Path, config: TrainConfig, broken_copy: Callable[..., Path]
) -> None:
    stage = config.stages["lora"].model_dump() | {"epochs": 2.0, "accumulate": 1}
    config = TrainConfig.from_table({**config.model_dump(), "stages": {"lora": stage}}, "tests")
    clips = opened(folder, config).clips("train")
    schedule = Schedule(config, "lora", len(clips))
    seen = [
        {view.clip for step in range(schedule.steps)
         for part in parts_of(schedule.views(step), 1, Share(process, 2)) for view in part}
        for process in range(2)
    ]  # fmt: skip
    broken = clips[min(seen[1] - seen[0])].path
    data = broken_copy(alone / "data", broken)
    (folder / "data").unlink()
    (folder / "data").symlink_to(data)
    launch(folder, config, "replicated", *TORCHRUN)
    told = json.loads((folder / "run" / "stages" / "1-lora" / "stage.json").read_text())
    (fault,) = told["faults"]
    assert broken in fault


def test_a_run_begun_by_one_process_goes_on_with_two(
    alone: Path, folder: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(folder, alone, config, "unfrozen", 2, monkeypatch)
    steps = launch(folder, config, "replicated", *ACCELERATE)
    assert steps == [{"unfrozen": 3}] * 2
    check_equal(folder, alone)


def test_a_run_begun_by_one_process_goes_on_with_weights_spread_over_two(
    alone: Path, folder: Path, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(folder, alone, config, "frozen", 2, monkeypatch)  # with best and mean weights
    steps = launch(folder, config, "sharded", *TORCHRUN)
    assert steps == [STEPS, STEPS]
    check_equal(folder, alone)
