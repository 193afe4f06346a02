"""The tables of a run for the terminal."""

from pathlib import Path

from rich.console import Console

from training.evaluation.metrics import METRICS_FILE, Metrics
from training.summary import tables


def test_the_tables_name_variants_stages_and_protocols(trained: Path) -> None:
    console = Console(width=120)
    with console.capture() as captured:
        for table in tables(Metrics.from_json(trained / METRICS_FILE)):
            console.print(table)
    text = captured.get()
    for word in ("base", "temporal", "frozen", "lora", "unfrozen", "kept: alpha", "base-to-novel"):
        assert word in text
