"""A run that is killed goes on to the weights that it would have had."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from training.resume import load_extra, load_state, save_state
from training.run import begun_run, run_fingerprints
from training.settings import TrainConfig
from training.staging import run_stages
from training.train import accelerator_for

# Runs that are killed by the system at the beginning of a step, one after the other, forked from
# a process that has loaded everything: killed.py FOLDER STAGE STEP [STAGE STEP ...]
# Processes that decode load this file too, so nothing is loaded outside of main.
KILLED = """
def main(folder, names, steps):
    import json, os, signal, sys
    import peft, torch
    from training import loop
    from training.run import begun_run, run_fingerprints
    from training.settings import TrainConfig
    from training.staging import run_stages
    from training.train import accelerator_for

    torch.set_num_threads(1)
    config = TrainConfig.from_json(folder / "config.json")
    factor_of_step = loop.rate_factor

    def run_until(name, at):
        def killed(step, schedule, stage):
            if (stage, step) == (config.stages[name], at):
                os.kill(os.getpid(), signal.SIGKILL)
            return factor_of_step(step, schedule, stage)

        loop.rate_factor = killed
        accelerator = accelerator_for(config, folder / "run")
        run = begun_run(config, folder / "data", folder / "run", accelerator)
        run_stages(run, run_fingerprints(config, folder / "data"))

    for name, at in zip(names, map(int, steps)):
        child = os.fork()
        if child == 0:
            run_until(name, at)
            sys.exit("not killed")
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL, name
        (state,) = (folder / "run" / "states").iterdir()
        print(state.name[:-17], json.loads((state / "state.json").read_text())["step"])


if __name__ == "__main__":
    import sys
    from pathlib import Path

    main(Path(sys.argv[1]), sys.argv[2::2], sys.argv[3::2])
"""


def test_a_run_killed_in_every_stage_goes_on_to_the_same_weights(
    settings_of: Callable[..., TrainConfig], lean: Path, trained: Path, tmp_path: Path
) -> None:
    """With dropout, mixup and noise; early stopping and mean weights in the first stage."""
    (tmp_path / "config.json").write_text(settings_of().model_dump_json())
    config = TrainConfig.from_json(tmp_path / "config.json")
    (tmp_path / "killed.py").write_text(KILLED)
    (tmp_path / "data").symlink_to(lean)
    for kept in ("features", "views"):
        shutil.copytree(trained / kept, tmp_path / "run" / kept)
    process = subprocess.run(
        [sys.executable, "killed.py", ".", "frozen", "3", "lora", "2", "unfrozen", "2"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr[-4000:]
    assert process.stdout.splitlines() == ["1-frozen 3", "2-lora 2", "3-unfrozen 2"]
    assert not (tmp_path / "run" / "stages" / "3-unfrozen").exists()
    run = begun_run(config, lean, tmp_path / "run", accelerator_for(config, tmp_path / "run"))
    results = run_stages(run, run_fingerprints(config, lean))
    assert [result.name for result in results] == ["frozen", "lora", "unfrozen"]
    assert list((tmp_path / "run" / "states").iterdir()) == []
    for result in results:
        whole = load_file(trained / "stages" / result.folder.name / "model.safetensors")
        resumed = load_file(result.folder / "model.safetensors")
        assert resumed.keys() == whole.keys()
        assert [name for name in whole if not torch.equal(resumed[name], whole[name])] == []


@pytest.fixture
def layers() -> Callable[[], tuple[nn.Module, torch.optim.Optimizer]]:
    """Makes the same small model, of which one layer learns, with its optimizer."""

    def made() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
        model[0].requires_grad_(False)
        return model, torch.optim.AdamW(model[1].parameters(), lr=0.1)

    return made


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.arange(8.0).reshape(2, 4)).pow(2).sum().backward()
    optimizer.step()


def test_a_state_holds_what_learns_its_moments_a_record_and_extras(
    layers: Callable[[], tuple[nn.Module, torch.optim.Optimizer]], tmp_path: Path
) -> None:
    folder, (model, optimizer) = tmp_path / "state", layers()
    assert load_state(folder, model, optimizer) is None
    step(model, optimizer)
    extras = {"average": {"1.bias": torch.ones(2)}}
    save_state(folder, model, optimizer, 1, {"best": 0.5, "faults": ["a"]}, extras)
    assert load_file(folder / "model.safetensors").keys() == {"1.weight", "1.bias"}
    assert {path.suffix for path in folder.iterdir()} == {".json", ".safetensors"}  # no pickle
    step(model, optimizer)
    resumed, its_optimizer = layers()
    record = load_state(folder, resumed, its_optimizer)
    assert record == {"best": 0.5, "faults": ["a"], "step": 1}
    assert torch.equal(load_extra(folder, "average")["1.bias"], torch.ones(2))
    step(resumed, its_optimizer)
    for ours, theirs in zip(resumed.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_state_replaces_the_one_before_it_whole(
    layers: Callable[[], tuple[nn.Module, torch.optim.Optimizer]], tmp_path: Path
) -> None:
    folder, (model, optimizer) = tmp_path / "state", layers()
    step(model, optimizer)
    save_state(folder, model, optimizer, 1, extras={"best": {"1.bias": torch.ones(2)}})
    save_state(folder, model, optimizer, 2)
    assert not (folder / "best.safetensors").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    record = load_state(folder, *layers())
    assert record == {"step": 2}
