"""What a plan needs, read from disk, and whether a machine has it: no library is needed."""

import re
import subprocess
from pathlib import Path
from shutil import which

import pytest

from builder.engines.engine import Description, EngineRefusedError, Range
from builder.engines.gpu import Gpu, gpus
from builder.engines.plan_file import (
    NOTE_FILE,
    Machine,
    PlanDescription,
    PlanNote,
    description_of_plan,
    misfit,
    note_of_plan,
    write_plan,
)
from builder.engines.plan_ranges import GraphInput, check_ranges

PLAN = bytes(range(256)) * 8
NOTE = PlanNote(
    engine="tensorrt",
    version="10.13.0.35",
    architectures=("8.9",),
    ranges={"CLIP_EMBED": Range((1, 8), (4, 8), (16, 8))},
    onnx_sha256="of the graph",
)
FRAMES = GraphInput("FRAMES", (-1, -1, 32, 32, 3), ("batch", "frames", "", "", ""))
TIMES = GraphInput("TIMES", (-1, -1), ("batch", "frames"))
RANGES = {
    "FRAMES": Range((1, 1, 32, 32, 3), (2, 4, 32, 32, 3), (4, 8, 32, 32, 3)),
    "TIMES": Range((1, 1), (2, 4), (4, 8)),
}


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    file = tmp_path / "1" / "model.plan"
    write_plan(file, PLAN, NOTE)
    return file


def test_a_plan_is_described_by_the_note_beside_it(plan: Path) -> None:
    assert plan.read_bytes() == PLAN
    assert description_of_plan(plan, "tensorrt") == PlanDescription(
        "tensorrt", "10.13.0.35", "8.9", newer_versions=False
    )
    assert note_of_plan(plan, "tensorrt").ranges["CLIP_EMBED"].most[0] == 16
    assert {path.name for path in plan.parent.iterdir()} == {"model.plan", NOTE_FILE}


def test_several_architectures_and_newer_ones_are_told(tmp_path: Path) -> None:
    several = NOTE.model_copy(update={"architectures": ("8.6", "8.9")})
    write_plan(tmp_path / "model.plan", PLAN, several)
    assert description_of_plan(tmp_path / "model.plan", "tensorrt").architecture == "8.6, 8.9"
    newer = NOTE.model_copy(update={"architectures": ("8.0",), "newer_gpus": True})
    write_plan(tmp_path / "model.plan", PLAN, newer)
    assert description_of_plan(tmp_path / "model.plan", "tensorrt").architecture == "8.0+"


def cut_short(file: Path) -> None:
    file.write_bytes(PLAN[:100])


def changed(file: Path) -> None:
    file.write_bytes(PLAN[:-1] + b"!")


def grown(file: Path) -> None:
    file.write_bytes(PLAN + b"!")


def foreign(file: Path) -> None:
    (file.parent / NOTE_FILE).unlink()


def misnoted(file: Path) -> None:
    (file.parent / NOTE_FILE).write_text('{"engine": "tensorrt"}')


def removed(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (cut_short, "truncated: it has 100 bytes, and was built with 2048"),
        (changed, "its bytes were changed"),
        (grown, "not the plan of its note"),
        (foreign, "no engine.json lies beside it"),
        (misnoted, "the key 'version' is missing"),
        (removed, "no such file"),
    ],
)
def test_a_file_that_is_not_what_was_built_is_refused(plan: Path, spoil, reason: str) -> None:
    spoil(plan)
    with pytest.raises(EngineRefusedError, match=reason) as refused:
        description_of_plan(plan, "tensorrt")
    assert "Build it again" in str(refused.value)


def test_a_plan_of_the_other_library_is_refused(plan: Path) -> None:
    with pytest.raises(EngineRefusedError, match="says that tensorrt made it, and tensorrt_rtx"):
        description_of_plan(plan, "tensorrt_rtx")


def test_a_write_that_fails_leaves_the_plan_that_was_there(plan: Path) -> None:
    with pytest.raises(TypeError):
        write_plan(plan, "not bytes", NOTE)  # type: ignore[arg-type]
    assert plan.read_bytes() == PLAN
    assert {path.name for path in plan.parent.iterdir()} == {"model.plan", NOTE_FILE}


ADA = PlanDescription("tensorrt", "10.13.0.35", "8.9")
FORWARD = PlanDescription("tensorrt", "10.13.0.35", "8.9", newer_versions=True)
AMPERE_PLUS = PlanDescription("tensorrt", "10.13.0.35", "8.0+")
RTX = PlanDescription("tensorrt_rtx", "1.7.1.116", "8.6, 8.9, 12.0")


@pytest.mark.parametrize(
    ("description", "architectures", "version"),
    [
        (ADA, ("8.9", "8.9"), "10.13.0.35"),
        (ADA, ("8.9",), "10.13.0"),
        (ADA, ("8.9",), ""),
        (FORWARD, ("8.9",), "10.14.1.48"),
        (FORWARD, ("8.9",), "11.1.0.106"),
        (AMPERE_PLUS, ("8.0", "8.6", "9.0", "12.0"), "10.13.0.35"),
        (RTX, ("12.0",), "1.7.1.116"),
        (Description("tensorrt", "10.13.0.35", "8.9"), ("8.9",), "10.13.0.35"),
    ],
)
def test_a_plan_fits(description: Description, architectures: tuple[str, ...], version: str):
    assert misfit(description, Machine(architectures, version)) == ""


@pytest.mark.parametrize(
    ("description", "architectures", "version", "reason"),
    [
        (ADA, ("8.6",), "10.13.0.35", "built for GPUs of compute capability 8.9, and .* has 8.6"),
        (ADA, ("8.9", "9.0"), "10.13.0.35", "has 9.0. Build it again on this machine"),
        (ADA, (), "10.13.0.35", "no NVIDIA GPU"),
        (ADA, ("8.9",), "10.14.1.48", "made by version 10.13.0.35 .* has 10.14.1.48"),
        (ADA, ("8.9",), "10.13.3.9", "Build it again"),
        (FORWARD, ("8.9",), "10.12.0.36", "Build it again"),
        (FORWARD, ("8.9",), "12.0.0.1", "Build it again"),
        (AMPERE_PLUS, ("7.5",), "10.13.0.35", r"capability 8.0\+, and .* has 7.5"),
        (RTX, ("9.0",), "1.7.1.116", "has 9.0. Add that one to the profile's capabilities"),
        (RTX, ("2.0",), "1.7.1.116", "has 2.0"),  # which is a part of 12.0
    ],
)
def test_a_plan_that_does_not_fit_says_why_and_what_to_do(
    description: Description, architectures: tuple[str, ...], version: str, reason: str
) -> None:
    assert re.search(reason, misfit(description, Machine(architectures, version)))


def test_ranges_that_are_the_graphs_pass() -> None:
    check_ranges([FRAMES, TIMES], RANGES)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"PIXELS": RANGES["TIMES"]}, "given for FRAMES, PIXELS, TIMES, .* inputs are FRAMES"),
        ({"TIMES": Range((1,), (2,), (4,))}, r"TIMES: .* has not the 2 axes of .* \(-1, -1\)"),
        (
            {"FRAMES": Range((1, 1, 64, 32, 3), (2, 4, 64, 32, 3), (4, 8, 64, 32, 3))},
            "FRAMES: axis 2 is 32 in the graph, and the range says 64, 64, 64",
        ),
        ({"TIMES": Range((1, 1), (8, 4), (4, 8))}, "TIMES: axis 0 has the sizes 1, 8, 4"),
        ({"TIMES": Range((0, 1), (2, 4), (4, 8))}, "must rise from 1 or more"),
        (
            {"TIMES": Range((1, 1), (2, 4), (16, 8))},
            "axis 'batch' has the sizes 1, 2, 16 in TIMES and 1, 2, 4 in FRAMES",
        ),
    ],
)
def test_a_mistaken_range_is_named(changes: dict[str, Range], reason: str) -> None:
    with pytest.raises(EngineRefusedError, match=reason):
        check_ranges([FRAMES, TIMES], {**RANGES, **changes})


def test_every_mistake_of_the_ranges_is_told() -> None:
    wrong = {"FRAMES": Range((2,), (2,), (2,)), "TIMES": Range((1, 9), (2, 4), (4, 8))}
    with pytest.raises(EngineRefusedError) as refused:
        check_ranges([FRAMES, TIMES], wrong)
    assert len(str(refused.value).splitlines()) == 2


def test_a_machine_without_a_driver_has_no_gpus() -> None:
    assert gpus("libthere-is-none.so.1") == ()


DRIVER_SOURCE = """
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDeviceGetCount(int *count) { *count = 2; return 0; }
int cuDeviceGet(int *device, int index) { *device = 40 + index; return 0; }
int cuDeviceGetName(char *name, int size, int device)
{ strncpy(name, device == 40 ? "RTX 4090" : "RTX 5090", size); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device)
{ *value = attribute == 75 ? (device == 40 ? 8 : 12) : (device == 40 ? 9 : 0); return 0; }
"""


@pytest.mark.skipif(not which("cc"), reason="compiles a driver")
def test_gpus_are_read_from_a_driver_with_its_c_interface(tmp_path: Path) -> None:
    (tmp_path / "driver.c").write_text(DRIVER_SOURCE)
    driver = tmp_path / "libdriver.so"
    command = ["cc", "-shared", "-fPIC", "-o", str(driver), str(tmp_path / "driver.c")]
    subprocess.run(command, check=True)
    assert gpus(str(driver)) == (Gpu("RTX 4090", "8.9"), Gpu("RTX 5090", "12.0"))
