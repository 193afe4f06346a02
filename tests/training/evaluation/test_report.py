import csv
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from training.evaluation.metrics import Metrics, OrderTier
from training.evaluation.notes import SYNTHETIC, honest_notes
from training.evaluation.report import write_report
from training.evaluation.wording import flat, interval, measured, number, percent, points

EMPTY = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """A page's text, headings and links; fails where a tag is not closed in its order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


@pytest.fixture(scope="module")
def written(metrics: Metrics, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "evaluation"
    write_report(folder, metrics)
    return folder


def page_of(metrics: Metrics, folder: Path) -> Page:
    return Page(write_report(folder, metrics)[-1].read_text())


def test_a_report_is_figures_tables_a_picture_and_a_page(written: Path, metrics: Metrics) -> None:
    assert {path.name for path in written.iterdir()} == {
        "metrics.json",
        "confusion.csv",
        "confusion-base.csv",
        "confusion.png",
        "report.html",
    }
    assert Metrics.from_json(written / "metrics.json") == metrics


def test_the_confusion_table_names_rows_and_columns(written: Path, metrics: Metrics) -> None:
    rows = list(csv.reader((written / "confusion.csv").read_text().splitlines()))
    assert tuple(rows[0][1:]) == metrics.labels
    assert tuple(row[0] for row in rows[1:]) == metrics.labels
    counts = tuple(tuple(int(cell) for cell in row[1:]) for row in rows[1:])
    assert counts == metrics.test.confusion


def test_the_page_is_well_formed_and_loads_nothing(written: Path) -> None:
    page = Page((written / "report.html").read_text())
    assert page.links
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert not page.tags & {"script", "link", "iframe", "object"}
    assert "url(" not in (written / "report.html").read_text()


def test_the_page_says_what_was_measured_and_every_figure(written: Path, metrics: Metrics) -> None:
    page = Page((written / "report.html").read_text())
    assert measured(metrics) in page.text
    for share in (
        metrics.test.top1,
        metrics.test.mean_class_accuracy,
        metrics.test.ece,
        metrics.test.before_temperature.ece,
        metrics.zero_shot[0].accuracy,
        metrics.interpolation[3].test_zero_shot,
        metrics.stages[1].top1,
    ):
        assert percent(share) in page.text
    assert interval(metrics.test.top1_interval) in page.text
    assert "frozen alone, as shipped: +2.5 points of top-1" in page.text
    assert "(−0.8 points to +5.8 points)" in page.text
    assert "7 clips won, 4 lost, p = 0.55" in page.text
    assert metrics.manifest_sha256 in page.text
    assert "versions.torch" in page.text


def test_sections_without_data_are_left_out(metrics: Metrics, tmp_path: Path) -> None:
    full = page_of(metrics, tmp_path)
    test = metrics.test.model_copy(update={"order": None})
    bare = metrics.model_copy(
        update={
            "test": test,
            "variants": {metrics.variant: test},
            "ensemble": None,
            "stages": (),
            "gain": None,
            "interpolation": (),
            "zero_shot": (),
            "cost": {},
        }
    )
    left = page_of(bare, tmp_path)
    assert [one for one in full.headings if one not in left.headings] == [
        "Stages of training",
        "Variants and their ensemble",
        "Order of frames",
        "Zero-shot: classes by name alone",
        "Between the frozen stage and the tuned model",
        "Cost",
    ]
    assert set(left.headings) < set(full.headings)


def test_a_label_stays_text(metrics_of: Callable[..., Metrics], tmp_path: Path) -> None:
    labels = ("<b>x</b>", "a & b", "<script>alert(1)</script>", "$1", "déjà", "f")
    metrics = metrics_of(labels)
    page = page_of(metrics, tmp_path)
    assert "<b>x</b>" in page.text
    assert "script" not in page.tags
    assert json.loads((tmp_path / "metrics.json").read_text())["labels"] == list(labels)


def test_synthetic_media_are_warned_of_at_the_top(
    metrics_of: Callable[..., Metrics], tmp_path: Path
) -> None:
    made = page_of(metrics_of(source="Synthetic video of real motion."), tmp_path)
    assert made.text.index(SYNTHETIC) < made.text.index("top-1")
    real = page_of(metrics_of(source="Filmed in a gym."), tmp_path)
    assert "synthetic" not in real.text.lower()
    assert "Filmed in a gym." in real.text


def test_notes_tell_what_figures_do_not_say(metrics: Metrics) -> None:
    perfect = metrics.test.model_copy(update={"top1": 1.0, "clips": 60, "order": None})
    lost = metrics.zero_shot[0].model_copy(update={"retention": -0.034})
    changed = metrics.model_copy(
        update={"test": perfect, "clips_per_video": 4, "crops": 3, "zero_shot": (lost,)}
    )
    notes = " ".join(honest_notes(changed))
    assert "up to 5.0 % away" in notes
    assert "60 clips are few" in notes
    assert "these figures average 12" in notes
    assert "−3.4 points against the pretrained CLIP" in notes
    assert "must not be compared" not in notes
    assert "must not be compared" in " ".join(honest_notes(metrics))


def test_an_order_test_that_leaks_is_distrusted(metrics: Metrics) -> None:
    order = metrics.test.order
    assert order
    assert "Distrust" not in " ".join(honest_notes(metrics))

    def notes_of(tier: OrderTier) -> str:
        tiers = {**order.tiers, "rotation": tier}
        test = metrics.test.model_copy(update={"order": order.model_copy(update={"tiers": tiers})})
        return " ".join(honest_notes(metrics.model_copy(update={"test": test})))

    told = order.tiers["rotation"].model_copy(update={"frame_bag": 0.52})
    assert "not at chance on rotation" in notes_of(told)
    moved = order.tiers["rotation"].model_copy(update={"frame_bag_max_logit_difference": 0.01})
    assert "not at chance on rotation" in notes_of(moved)


def test_figures_are_written_for_people() -> None:
    assert (percent(0.9134), interval((0.87, 0.955))) == ("91.3 %", "87.0 to 95.5 %")
    assert (points(-0.012), points(0.0)) == ("−1.2 points", "+0.0 points")
    assert (number(1250000), number(0.31), number(2.4e-7)) == ("1,250,000", "0.31", "2.4e-07")
    table = {"date": "today", "versions": {"torch": "2"}, "gpus": ["a", "b"]}
    assert flat(table) == [("date", "today"), ("versions.torch", "2"), ("gpus", "a, b")]
