"""Reports of answers that are made by hand: two classes, one clip and pairs of some tiers."""

import io
from pathlib import Path

import numpy as np
from rich.console import Console

from clients.held_out import HeldOut, LeftOut
from clients.measurement import CLASSIFIERS, PROTOCOLS, Answer, Measurement, Request
from clients.report import report_of
from clients.selection import sheet_pairs
from clients.table import summary_table
from clip_har.dataset import Clip, Pair, Tier

LABELS = ("opening", "closing")
CLIP = Clip(path="clip", label="opening", sha256="", split="test", seconds=1, frames=10)


def measured(tiers: dict[Tier, bool], left_out: LeftOut) -> tuple[HeldOut, Measurement]:
    """A pair a tier; the temporal model reads it right or, where told False, the wrong way round.

    The base model says the same of every file.
    """
    pairs, answers = [], {}

    def answer(path: str, seen: float) -> None:
        for model in CLASSIFIERS:
            first = seen if "temporal" in model else 0.6
            told = Answer(np.array([first, 1 - first], np.float32), 1.0)
            answers.update({Request(protocol, model, path): told for protocol in PROTOCOLS})

    answer("clip", 0.9)
    for tier, right in tiers.items():
        forward, backward = f"{tier}.avi", f"{tier}-reversed.avi"
        answer(forward, 0.9 if right else 0.1)
        answer(backward, 0.1 if right else 0.9)
        given = {"forward": forward, "backward": backward, "tier": tier}
        pairs.append(Pair(label="opening", reversed_label="closing", **given))
    held_out = HeldOut(Path(), "doors", LABELS, (CLIP,), (), tuple(pairs), left_out)
    return held_out, Measurement(LABELS, "triton", answers, {})


def printed(tiers: dict[Tier, bool], left_out: LeftOut) -> str:
    file = io.StringIO()
    Console(file=file, width=100).print(summary_table(report_of(*measured(tiers, left_out), None)))
    return " ".join(file.getvalue().split())


def test_every_tier_is_reported_for_itself_and_order_pairs_are_the_reversals() -> None:
    tiers: dict[Tier, bool] = {"reversal": True, "rotation": False, "nuisance": True}
    report = report_of(*measured(tiers, LeftOut()), None)
    temporal, base = report.models["har_temporal"], report.models["har_base"]
    read = {tier: one.accuracy for tier, one in temporal.order.items()}
    assert read == {"reversal": 1, "rotation": 0, "nuisance": 1}
    assert {one.accuracy for one in base.order.values()} == {0.5}
    assert {one.max_abs_logit_difference for one in base.order.values()} == {0}
    assert report.order_pairs == {"base": 0.5, "temporal": 1}
    assert temporal.order_pairs_max_abs_logit_difference is not None
    assert temporal.order_pairs_max_abs_logit_difference > 1


def test_data_without_reversals_have_no_order_pairs() -> None:
    report = report_of(*measured({"closed_loop": True}, LeftOut()), None)
    assert report.order_pairs == {"base": None, "temporal": None}
    assert report.models["har_base"].order["closed_loop"].accuracy == 0.5


def test_the_table_has_a_row_for_each_tier_of_the_data() -> None:
    table = printed({"reversal": True, "closed_loop": False}, LeftOut())
    assert "order pairs (chance: 50 %) │ 50.0% │ 100.0%" in table
    assert "- that end where they begin │ 50.0% │ 0.0%" in table
    assert "one whole turn" not in table
    assert "left out" not in table


def test_the_table_says_what_was_left_out() -> None:
    left_out = LeftOut(labels=("knocking",), clips=3, stills=2, pairs=1)
    table = printed({}, left_out)
    assert "left out: 3 test clips, 2 stills, 1 pairs" in table
    assert "knocking" in table


def test_the_contact_sheet_shows_reversals_alone() -> None:
    told = measured({"closed_loop": True, "reversal": True, "nuisance": True}, LeftOut())
    (pair,) = sheet_pairs(*told, top_k=1)
    assert [one.path for one in pair] == ["reversal.avi", "reversal-reversed.avi"]
    assert sheet_pairs(*measured({"rotation": True}, LeftOut()), top_k=1) == []
