"""Load on one model by perf_analyzer, and what Triton's statistics say of it, step by step."""

import csv
import json
import subprocess
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.request import urlopen

from perf_tools import perf_analyzer

from clip_har.contract import MEDIA

Load = Literal["concurrency", "rate"]
LEAST_SAMPLES = 64
"""Different files: one file again and again would be found in every cache of the machine."""
WINDOWS, WINDOW_MS = 3, 1500
"""perf_analyzer gives the mean of its last three windows."""
ANY_DEVIATION = "999"
"""Percent. The sweep is bounded; on a busy machine it would wait for calm without end."""


@dataclass(frozen=True)
class Step:
    """What one model of an ensemble did under a load."""

    queue_ms: float
    """Milliseconds that a request waited for it."""
    compute_ms: float
    """Milliseconds that a request spent in it, with its batch."""
    batch: float
    """Rows of a run."""


@dataclass(frozen=True)
class Point:
    """One load, and what came of it."""

    model: str
    media: str
    load: Load
    amount: float
    """Callers that wait for their answers, or requests a second."""
    throughput: float
    """Answers a second."""
    latency_ms: Mapping[str, float]
    """By percentile: p50, p90, p95, p99."""
    steps: Mapping[str, Step]
    """By model, in their order."""


def write_input(folder: Path, target: Path) -> None:
    """The files of a folder as perf_analyzer reads them; raises ValueError where they are few."""
    files = sorted(folder.iterdir())
    if len(files) < LEAST_SAMPLES:
        raise ValueError(f"{folder} holds {len(files)} files, but {LEAST_SAMPLES} are wanted.")
    rows = [{MEDIA.name: {"content": {"b64": _text(path)}, "shape": [1]}} for path in files]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"data": rows}))


def _text(path: Path) -> str:
    """A BYTES tensor of one element: its length, then the file."""
    content = path.read_bytes()
    return b64encode(len(content).to_bytes(4, "little") + content).decode()


class Server:
    """A running server under load."""

    def __init__(self, grpc_url: str, http_url: str, scratch: Path) -> None:
        """`scratch` is a folder for perf_analyzer's files."""
        self._grpc_url = grpc_url
        self._http_url = http_url
        self._scratch = scratch

    def models(self) -> set[str]:
        """Names of the models that it serves."""
        return {row["name"] for row in self._json("stats")["model_stats"]}

    def steps(self, ensemble: str) -> list[str]:
        """The models of an ensemble, in their order."""
        config = self._json(f"{ensemble}/config")
        return [step["model_name"] for step in config["ensemble_scheduling"]["step"]]

    def point(self, model: str, media: str, load: Load, amount: float) -> Point:
        """Puts a load on a model; raises ValueError where perf_analyzer or the cache spoils it."""
        before = self._statistics()
        row = self._run(model, media, load, amount)
        after = self._statistics()
        if after[model]["cache_hits"] > before[model]["cache_hits"]:
            raise ValueError(f"{model} answered from the response cache: switch it off to measure.")
        steps = {name: _step(before[name], after[name]) for name in self.steps(model)}
        latency = {f"p{n}": float(row[f"p{n} latency"]) / 1000 for n in (50, 90, 95, 99)}
        return Point(
            model, media, load, amount, float(row["Inferences/Second"]), latency, steps
        )  # fmt: skip

    def _run(self, model: str, media: str, load: Load, amount: float) -> Mapping[str, str]:
        program, variables = perf_analyzer()
        told = self._scratch / "point.csv"
        told.unlink(missing_ok=True)
        loads: dict[Load, list[str]] = {
            "concurrency": [f"--concurrency-range={amount:.0f}"],
            "rate": [f"--request-rate-range={amount:.2f}", "--request-distribution=poisson"],
        }
        command = [
            str(program), "-m", model, "-i", "grpc", "-u", self._grpc_url, "-b", "1",
            "--input-data", str(self._scratch / f"{media}.json"), "--percentile=50",
            f"--measurement-interval={WINDOW_MS}", f"--max-trials={WINDOWS}",
            f"--stability-percentage={ANY_DEVIATION}", "--verbose-csv", "-f", str(told),
            *loads[load],
        ]  # fmt: skip
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        if done.returncode or not told.exists():
            said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-6:])
            raise ValueError(
                f"perf_analyzer measured nothing of {model} at {load} {amount}:\n{said}"
            )
        with told.open() as file:
            return next(iter(csv.DictReader(file)))

    def _statistics(self) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for row in self._json("stats")["model_stats"]:
            times = row["inference_stats"]
            parts = ("compute_input", "compute_infer", "compute_output")
            found[row["name"]] = {
                "requests": times["success"]["count"],
                "rows": row["inference_count"],
                "runs": row["execution_count"],
                "queue": times["queue"]["ns"],
                "compute": sum(times[part]["ns"] for part in parts),
                "cache_hits": times.get("cache_hit", {}).get("count", 0),
            }
        return found

    def _json(self, path: str) -> Any:
        with urlopen(f"http://{self._http_url}/v2/models/{path}") as answer:
            return json.load(answer)


def _step(before: Mapping[str, int], after: Mapping[str, int]) -> Step:
    new = {key: after[key] - before[key] for key in after}
    requests, runs = max(1, new["requests"]), max(1, new["runs"])
    return Step(new["queue"] / requests / 1e6, new["compute"] / requests / 1e6, new["rows"] / runs)


def saturation(points: Sequence[Point]) -> float:
    """The most answers a second under any of these loads."""
    return max(point.throughput for point in points)
