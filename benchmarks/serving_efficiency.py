"""What the server costs: har_temporal through Triton against one process that needs no server.

    python benchmarks/serving_efficiency.py build/b32 build/media

Both do the same work with the same decoder and engine files, in turn, round after round, so that
what else the machine does falls on both. The rival (rival.py) is tried with many ways to spread its
work over the cores, and the best count: once with as many clips in hand as it likes, once with as
many as the server's callers give it. Ratios are medians over rounds.
"""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import product as combinations
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from load import closed_loop, probabilities, rate, session_cpu_seconds
from rival import Plan

from builder.cpu import cpu_name, usable_cores
from clip_har.contract import HAR_TEMPORAL
from clip_har.product import write_whole
from clip_har.progress import progress_bar
from clip_har.provenance import provenance
from server.environment import VENV
from server.errors import ServerError
from server.process import RunningServer, running

KINDS = ("stills", "clips", "long-clips")
RESULTS = Path(__file__).with_name("results")
CONCURRENCY = 8
FREE = 32
"""Clips in hand of a rival that nothing limits."""
PLANS = [Plan(*one, FREE) for one in combinations((1, 2), (1, 2), (2, 4, 8))]
BOUND_PLANS = [Plan(2, *one, CONCURRENCY) for one in combinations((1, 2), (1, 2, 4, 8))]
FINALISTS = 2
"""Plans that are measured in every round, of those tried before."""
WARM_UP = 0.25
"""Share of a measurement that does not count."""
DECODING_THREADS = (1, 2)
"""Of the rival with one clip at a time; the quicker one counts."""
TOLERANCE = 0.02
"""Largest difference of a probability between both; bf16 depends a little on the batch."""

app = typer.Typer(add_completion=False)


@dataclass
class Side:
    """What the rounds gave for one of both, or for one plan."""

    rates: list[float] = field(default_factory=list)
    """Clips a second in each round."""
    cpu: list[float] = field(default_factory=list)
    """CPU seconds of a clip in each round."""
    p50: list[float] = field(default_factory=list)
    """Median seconds of one clip at a time, in each round."""


@dataclass
class Figures:
    """What the rounds gave for one kind of media."""

    server: Side = field(default_factory=Side)
    plans: dict[Plan, Side] = field(default_factory=dict)

    def best(self, in_flight: int) -> Plan:
        """The rival's plan with the highest median throughput."""
        known = [plan for plan in self.plans if plan.in_flight == in_flight]
        return max(known, key=lambda plan: median(self.plans[plan].rates))

    def quickest(self) -> Side:
        """The rival's best way with one clip at a time."""
        return min((s for s in self.plans.values() if s.p50), key=lambda side: median(side.p50))


class Rival:
    """The process without a server, in a session of its own, as the server is."""

    def __init__(self, product: Path) -> None:
        """Starts it in the server's Python environment."""
        config = (product / "model_repository" / "preprocess" / "config.pbtxt").read_text()
        numbers = [parameter(config, name) for name in ("frames", "image_size")]
        script = Path(__file__).with_name("rival.py")
        command = [str(VENV / "bin" / "python"), str(script), str(product), *numbers]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def measure(self, folder: Path, plan: Plan, seconds: float) -> Any:
        """What it tells of a measurement: times, CPU seconds, and PROBS of the first file."""
        assert self.process.stdin
        assert self.process.stdout
        request = {"files": str(folder), "plan": plan, "seconds": seconds}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise ValueError("the rival process has ended; what it said stands above")
        return json.loads(line)

    def close(self) -> None:
        """Ends it."""
        with self.process:
            self.process.kill()


@app.command()
def main(
    product: Annotated[Path, typer.Argument(help="A built product with a temporal model.")],
    media: Annotated[Path, typer.Argument(help="Folder that media_set.py wrote.")],
    kinds: Annotated[str, typer.Option(help="Its folders, with commas.")] = ",".join(KINDS),
    rounds: Annotated[int, typer.Option(help="Rounds for each of them.")] = 5,
    seconds: Annotated[float, typer.Option(help="Of one measurement.")] = 5.0,
    out: Annotated[Path, typer.Option(help="Folder for the table.")] = RESULTS,
) -> None:
    """Measures both sides in turn, prints a table and writes it."""
    figures: dict[str, Figures] = {}
    try:
        with running(product / "model_repository") as server:
            rival = Rival(product)
            try:
                for kind in kinds.split(","):
                    figures[kind] = measured(rival, server, media / kind, rounds, seconds)
            finally:
                rival.close()
    except (ValueError, ServerError) as error:
        sys.exit(f"error: {error}")
    text = table(product, figures, rounds, seconds)
    print(text)
    write_whole(out / f"serving-efficiency-{product.name}.md", text)


def measured(
    rival: Rival, server: RunningServer, folder: Path, rounds: int, seconds: float
) -> Figures:
    """All rounds for one kind of media; raises ValueError where both answer differently."""
    files = [path.read_bytes() for path in sorted(folder.iterdir())]
    found = Figures()
    finalists: list[Plan] = []
    for plans in (PLANS, BOUND_PLANS):
        tried = {
            plan: rate(rival.measure(folder, plan, seconds)["told"], WARM_UP * seconds, seconds)
            for plan in progress_bar(plans, f"{folder.name}: the rival's plans")
        }
        finalists += sorted(tried, key=lambda plan: -tried[plan])[:FINALISTS]
    for _ in progress_bar(range(rounds), f"{folder.name}: rounds"):
        for plan in finalists:
            told = rival.measure(folder, plan, seconds)
            side = found.plans.setdefault(plan, Side())
            side.rates.append(rate(told["told"], WARM_UP * seconds, seconds))
            side.cpu.append(told["cpu"] / len(told["told"]))
        _load_server(server, files, seconds, found.server)
        for threads in DECODING_THREADS:
            told = rival.measure(folder, Plan(threads, 1, 1, 1), seconds)
            side = found.plans.setdefault(Plan(threads, 1, 1, 1), Side())
            side.p50.append(median(told["told"]))
        alone = closed_loop(server.grpc_url, HAR_TEMPORAL.name, files, 1, seconds)
        found.server.p50.append(median(answer.latency for answer in alone))
    difference = np.abs(
        probabilities(server.grpc_url, HAR_TEMPORAL.name, files[0]) - np.array(told["probs"])
    ).max()
    if difference > TOLERANCE:
        raise ValueError(f"server and rival differ by {difference:.3f} in a probability")
    return found


def _load_server(server: RunningServer, files: list[bytes], seconds: float, side: Side) -> None:
    before = session_cpu_seconds(server.pid)
    answers = closed_loop(server.grpc_url, HAR_TEMPORAL.name, files, CONCURRENCY, seconds)
    side.cpu.append((session_cpu_seconds(server.pid) - before) / len(answers))
    side.rates.append(rate([answer.at for answer in answers], WARM_UP * seconds, seconds))


def table(product: Path, figures: dict[str, Figures], rounds: int, seconds: float) -> str:
    """Markdown."""
    lines = [
        f"# Serving efficiency, {product.name}",
        "",
        f"{usable_cores()} cores of {cpu_name()}, {str(provenance(())['date'])[:10]}; "
        f"{CONCURRENCY} callers, {rounds} rounds of {seconds:g} s. A plan of the rival is (threads "
        "that decode, threads that encode, clips of a batch, clips in hand).",
        "",
        "| media | clips/s: server | rival, free | ratio | rival, 8 in hand | ratio "
        "| CPU ms of a clip: server, rival | p50 ms of one at a time: server, rival | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, one in figures.items():
        free, bound = one.best(FREE), one.best(CONCURRENCY)
        quick = one.quickest()
        cells = [kind, f"{median(one.server.rates):.1f}"]
        for plan in (free, bound):
            rates = one.plans[plan].rates
            cells += [f"{median(rates):.1f} {tuple(plan)}", _ratio(one.server.rates, rates)]
        cells.append(f"{_ms(one.server.cpu)}, {_ms(one.plans[free].cpu)}")
        cells += [f"{_ms(one.server.p50)}, {_ms(quick.p50)}", _ratio(one.server.p50, quick.p50)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _ratio(ours: list[float], theirs: list[float]) -> str:
    """Median and range over rounds."""
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    return f"{median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f})"


def _ms(seconds: list[float]) -> str:
    return f"{1000 * median(seconds):.1f}"


def parameter(config: str, name: str) -> str:
    """A parameter of a config.pbtxt."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    parsed: Any = text_format.Parse(config, model_config_pb2.ModelConfig())
    return parsed.parameters[name].string_value


if __name__ == "__main__":
    app()
