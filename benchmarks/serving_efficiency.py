"""What the server costs: har_temporal through Triton against one process that needs no server.

    python benchmarks/serving_efficiency.py build/b32 build/media

Both do the same work with the same decoder and engine files, in turn, round after round, so that
what else the machine does falls on both. The rival (rival.py) is tried with several ways to spread
its work over the cores; it counts with the best of them in each figure. Ratios are medians over
rounds.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import sleep
from typing import Annotated, Any

import typer
from load import closed_loop, rate, session_cpu_seconds
from rival import Plan

from clip_har.contract import HAR_TEMPORAL
from clip_har.product import write_whole
from clip_har.progress import progress_bar
from clip_har.provenance import provenance
from server.environment import VENV
from server.process import RunningServer, running

KINDS = ("stills", "clips", "long-clips")
PLANS = [
    Plan(decoders, encoders, batch)
    for decoders in (1, 2)
    for encoders in (1, 2)
    for batch in (1, 2, 4, 8)
]
FINALISTS = 2
CONCURRENCY = 8
WARM_UP = 0.25
"""Share of a measurement that does not count."""

app = typer.Typer(add_completion=False)


@dataclass
class Rival:
    """The process without a server."""

    process: subprocess.Popen[str]

    def measure(self, folder: Path, plan: Plan, concurrency: int, seconds: float) -> Any:
        """What it tells of a measurement: {"told": [...], "cpu": seconds}."""
        request = {
            "files": str(folder), "plan": plan, "concurrency": concurrency, "seconds": seconds,
        }  # fmt: skip
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the rival process has ended; what it said stands above")
        return json.loads(line)


@dataclass
class Figures:
    """What the rounds gave for one kind of media."""

    rival_rate: dict[Plan, list[float]] = field(default_factory=dict)
    rival_cpu: dict[Plan, list[float]] = field(default_factory=dict)
    server_rate: list[float] = field(default_factory=list)
    server_cpu: list[float] = field(default_factory=list)
    rival_p50: dict[int, list[float]] = field(default_factory=dict)
    server_p50: list[float] = field(default_factory=list)


@app.command()
def main(
    product: Annotated[Path, typer.Argument(help="A built product, with a temporal model.")],
    media: Annotated[Path, typer.Argument(help="Folder that media_set.py wrote.")],
    kinds: Annotated[list[str], typer.Option(help="Folders of media.")] = list(KINDS),
    rounds: Annotated[int, typer.Option(help="Rounds for each of them.")] = 5,
    seconds: Annotated[float, typer.Option(help="Of one measurement.")] = 5.0,
    out: Annotated[Path | None, typer.Option(help="Folder for the table.")] = None,
) -> None:
    """Measures both sides in turn, and prints a table."""
    figures: dict[str, Figures] = {}
    with running(product / "model_repository") as server:
        rival = started_rival(product)
        try:
            for kind in kinds:
                figures[kind] = measured(rival, server, media / kind, rounds, seconds)
        finally:
            rival.process.kill()
            rival.process.wait()
    text = table(figures)
    print(text)
    if out:
        write_whole(out / "serving-efficiency.md", text)


def started_rival(product: Path) -> Rival:
    """The rival in the server's environment, in a session of its own like the server."""
    config = (product / "model_repository" / "preprocess" / "config.pbtxt").read_text()
    frames, size = (parameter(config, name) for name in ("frames", "image_size"))
    command = [VENV / "bin" / "python", Path(__file__).with_name("rival.py"), product, frames, size]
    return Rival(
        subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    )


def parameter(config: str, name: str) -> str:
    """A parameter of a config.pbtxt."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    parsed: Any = text_format.Parse(config, model_config_pb2.ModelConfig())
    return parsed.parameters[name].string_value


def measured(
    rival: Rival, server: RunningServer, folder: Path, rounds: int, seconds: float
) -> Figures:
    """All rounds for one kind of media."""
    files = [path.read_bytes() for path in sorted(folder.iterdir())]
    warm_up = WARM_UP * seconds
    found = Figures()

    def rival_rates(plans: list[Plan], into: dict[Plan, list[float]], cpu: bool) -> None:
        for plan in plans:
            told = rival.measure(folder, plan, CONCURRENCY, seconds)
            into.setdefault(plan, []).append(rate(told["told"], warm_up))
            if cpu:
                found.rival_cpu.setdefault(plan, []).append(told["cpu"] / len(told["told"]))

    tried: dict[Plan, list[float]] = {}
    for plan in progress_bar(PLANS, f"{folder.name}: the rival's plans"):
        rival_rates([plan], tried, cpu=False)
    finalists = sorted(tried, key=lambda plan: -max(tried[plan]))[:FINALISTS]
    for _ in progress_bar(range(rounds), f"{folder.name}: rounds"):
        rival_rates(finalists, found.rival_rate, cpu=True)
        before = session_cpu_seconds(server.pid)
        answers = closed_loop(server.grpc_url, HAR_TEMPORAL.name, files, CONCURRENCY, seconds)
        found.server_cpu.append((session_cpu_seconds(server.pid) - before) / len(answers))
        found.server_rate.append(rate([answer.at for answer in answers], warm_up))
        for threads in (1, 2):
            told = rival.measure(folder, Plan(threads, 1, 1), 1, seconds)
            found.rival_p50.setdefault(threads, []).append(median(told["told"]))
        answers = closed_loop(server.grpc_url, HAR_TEMPORAL.name, files, 1, seconds)
        found.server_p50.append(median(answer.latency for answer in answers))
    return found


def table(figures: dict[str, Figures]) -> str:
    lines = [
        "| media | rival's best plan | rival, clips/s | server, clips/s | throughput ratio | CPU ratio | rival p50, ms | server p50, ms | p50 ratio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind, one in figures.items():
        best = max(one.rival_rate, key=lambda plan: median(one.rival_rate[plan]))
        quick = min(one.rival_p50, key=lambda n: median(one.rival_p50[n]))
        share = median(s / r for s, r in zip(one.server_rate, one.rival_rate[best]))
        cpu = median(one.server_cpu) / median(one.rival_cpu[best])
        slow = median(s / r for s, r in zip(one.server_p50, one.rival_p50[quick]))
        lines.append(
            f"| {kind} | {tuple(best)} | {median(one.rival_rate[best]):.2f} | "
            f"{median(one.server_rate):.2f} | {share:.2f} | {cpu:.2f} ({1e3*median(one.server_cpu):.0f}/{1e3*median(one.rival_cpu[best]):.0f}) | "
            f"{1e3 * median(one.rival_p50[quick]):.1f} ({quick}) | {1e3 * median(one.server_p50):.1f} | {slow:.2f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    app()
