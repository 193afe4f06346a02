from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard

from clip_har.checkpoint import save_checkpoint
from clip_har.nn.clip import clip_from_pretrained, preprocessing_of, tokenizer_from_pretrained
from clip_har.nn.model import CLIPHARModel
from clip_har.spec import ModelSpec, Preprocessing
from training.evaluation.classification import classification_from_logits
from training.evaluation.metrics import Cost, Held, Metrics
from training.evaluation.wording import percent
from training.evaluation.zero_shot import TextScores, all_classes
from training.model_card import model_card, plain

LABELS = ("running", "sitting | down", "<b>x</b>")
SPEC = ModelSpec(
    backbone="openai/clip-vit-base-patch16",
    clip={},
    embed_dim=16,
    frames=8,
    temporal="attention_motion",
    labels=LABELS,
    prompts=("a person {}",),
    temperature=1.25,
    preprocessing=Preprocessing(image_size=32, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)),
)
RUN: dict[str, Any] = {
    "variant": "temporal",
    "command": "python -m training train configs/demo.toml",
    "config": {"seed": 42},
    "data": {"name": "gym", "source": "Filmed in a gym.", "manifest_sha256": "ab" * 32},
    "provenance": {"versions": {"torch": "2.13.0"}},
}


def make_metrics(source: str) -> Metrics:
    truth = torch.tensor([0, 0, 1, 1, 2, 2, 2, 2])
    random = torch.Generator().manual_seed(0)
    held = {
        name: Held(**dict(classification_from_logits(
            torch.randn(8, 3, generator=random) + skill * torch.eye(3)[truth], truth, 1.25, LABELS
        )))
        for name, skill in (("base", 0.0), ("temporal", 1.0))
    }  # fmt: skip
    scores = TextScores(torch.eye(3)[truth], torch.eye(3)[truth.flip(0)], truth)
    cost = Cost(
        parameters=1000, gflops_per_view=0.5, views=12, batch=1, ms_per_clip=2.0, device="a CPU"
    )
    return Metrics(
        name="demo",
        data="gym",
        source=source,
        manifest_sha256="ab" * 32,
        split="test",
        labels=LABELS,
        held_out_labels=(),
        frames=8,
        clips_per_video=4,
        crops=3,
        prompts=SPEC.prompts,
        variant="temporal",
        test=held["temporal"],
        variants=held,
        zero_shot=(all_classes(scores, "temporal"), all_classes(scores, "base")),
        cost={"temporal": cost},
        provenance={},
    )


def front_matter_of(card: str) -> Any:
    return ModelCard(card).data


def test_the_front_matter_holds_results_that_the_hub_reads() -> None:
    metrics = make_metrics("Filmed in a gym.")
    data = front_matter_of(model_card(SPEC, RUN, metrics))
    assert data.pipeline_tag == "video-classification"
    assert data.base_model == "openai/clip-vit-base-patch16"
    assert data.model_name == "demo-temporal"
    results = {one.metric_name: one for one in data.eval_results}
    assert results["top-1 (4 x 3 views)"].metric_value == round(metrics.test.top1, 4)
    assert results["top-1 (4 x 3 views)"].dataset_split == "test"
    by_name = [one for one in data.eval_results if one.dataset_config == "zero-shot, EP1"]
    assert [one.metric_value for one in by_name] == [1.0]


def test_a_folder_of_this_machine_is_no_base_model(tmp_path: Path) -> None:
    spec = SPEC.model_copy(update={"backbone": str(tmp_path)})
    assert "base_model" not in ModelCard(model_card(spec, RUN)).data.to_dict()


def test_a_card_is_about_its_own_variant() -> None:
    metrics = make_metrics("Filmed in a gym.")
    card = model_card(SPEC, {**RUN, "variant": "base"}, metrics)
    assert f"| top-1 | {percent(metrics.variants['base'].top1)} |" in card
    assert card.count("| EP1 |") == 1
    assert "**Cost.**" not in card  # of the other one alone
    assert "**Cost.**" in model_card(SPEC, RUN, metrics)


def test_a_card_says_what_was_measured_how_and_on_what() -> None:
    card = model_card(SPEC, RUN, make_metrics("Filmed in a gym."))
    for said in (
        "4 x 3 views (clips x crops) of 8 frames",
        "Filmed in a gym.",
        "python -m training train configs/demo.toml",
        "Seed: 42",
        "zero-shot protocol EP1",
        "surveillance",
        "versions.torch",
        "8 clips are few",
    ):
        assert said in card


def test_labels_stay_text_and_break_no_table() -> None:
    card = model_card(SPEC, RUN, make_metrics("Filmed."))
    assert r"sitting \| down, \<b\>x\</b\>." in card
    assert plain("a\n*b*") == r"a \*b\*"


@pytest.mark.parametrize("measured", [True, False])
def test_synthetic_media_are_warned_of(measured: bool) -> None:
    run = {**RUN, "data": {**RUN["data"], "source": "Synthetic video of real motion."}}
    metrics = make_metrics("Synthetic video of real motion.") if measured else None
    warning = "The media are synthetic: these figures say nothing about recordings of real people."
    body = ModelCard(model_card(SPEC, run, metrics)).text
    assert body.index(warning) < body.index("## Use")
    assert body.rindex(warning) > body.index("## Limits")
    assert "synthetic" not in model_card(SPEC, RUN, make_metrics("Filmed.")).lower()


def test_a_checkpoint_that_was_not_measured_says_so() -> None:
    card = model_card(SPEC, {})
    assert "was not evaluated" in card
    assert front_matter_of(card).eval_results is None
    assert "## Provenance" not in card


def test_the_code_of_the_card_runs(
    small_clip: Path, movie: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    clip = clip_from_pretrained(str(small_clip))
    spec = SPEC.model_copy(
        update={
            "clip": clip.config.to_dict(),
            "preprocessing": preprocessing_of(str(small_clip), clip.config),
        }
    )
    tokenizer = tokenizer_from_pretrained(str(small_clip), clip.config)
    save_checkpoint(tmp_path / "temporal", CLIPHARModel(spec, clip), tokenizer, {})
    (tmp_path / "clip.mp4").write_bytes(movie())
    monkeypatch.chdir(tmp_path)
    code = model_card(spec, RUN).split("```python\n")[1].split("```")[0]
    exec(code, {})
    assert capsys.readouterr().out.rsplit(" ", 1)[0] in LABELS
