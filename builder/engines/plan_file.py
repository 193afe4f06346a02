"""A plan on disk, the note beside it, and whether a machine can load it.

NVIDIA's runtime tells that a plan does not fit only by failing to load it, so a note says what the
plan needs before anybody tries.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from pydantic import Field

from builder.engines.engine import Description, EngineName, EngineRefusedError, Range
from clip_har.config import Config
from clip_har.product import file_hash

NOTE_FILE = "engine.json"
"""Name of the note, in the plan's folder."""
REBUILT: dict[EngineName, str] = {
    "tensorrt": "Build it again on this machine.",
    "tensorrt_rtx": "Add that one to the profile's capabilities and build again.",
}
NEXT_MAJOR = {8: 10, 10: 11}
"""Releases whose version compatible plans the next release loads too."""


class PlanNote(Config):
    """What a plan was made of and what it needs: `engine.json`."""

    format: Literal[1] = 1
    """Version of this note."""
    engine: EngineName
    """Library that made it."""
    version: str
    """Of that library."""
    architectures: tuple[str, ...] = Field(min_length=1)
    """Compute capabilities that it runs on, such as `8.9`."""
    newer_gpus: bool = False
    """True where it also runs on every GPU newer than those."""
    newer_versions: bool = False
    """True where later releases of the library load it too."""
    ranges: dict[str, Range]
    """Shapes of each input; the first axis of `most` is the max_batch_size of config.pbtxt."""
    onnx_sha256: str
    """Of the graph."""
    plan_sha256: str = ""
    """Of the plan."""
    plan_bytes: int = 0
    """Its size."""


@dataclass(frozen=True, slots=True)
class PlanDescription(Description):
    """What a plan needs; several architectures are joined by commas, `8.0+` means 8.0 or newer."""

    newer_versions: bool = False
    """True where later releases of the library load it too."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What decides whether a plan loads."""

    architectures: tuple[str, ...]
    """Compute capabilities of its GPUs."""
    version: str
    """Of the engine's library; empty where it is not known, which is then not checked."""


def write_plan(file: Path, plan: bytes, note: PlanNote) -> None:
    """Writes a plan and its note beside their places, then moves them there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    facts = {"plan_sha256": sha256(plan).hexdigest(), "plan_bytes": len(plan)}
    with TemporaryDirectory(prefix=".plan-", dir=file.parent) as staging:
        new_plan, new_note = Path(staging) / file.name, Path(staging) / NOTE_FILE
        new_plan.write_bytes(plan)
        new_note.write_text(note.model_copy(update=facts).model_dump_json(indent=2) + "\n")
        new_plan.rename(file)
        new_note.rename(file.parent / NOTE_FILE)


def note_of_plan(file: Path, engine: EngineName) -> PlanNote:
    """Reads the note of a plan and checks the plan's bytes against it.

    Raises EngineRefusedError for a plan that was not built here, is cut short or was changed.
    """
    again = "Build it again with `python -m builder`, and copy its whole folder."
    beside = file.parent / NOTE_FILE
    if not file.is_file():
        raise EngineRefusedError(f"{file}: there is no such file. {again}")
    if not beside.is_file():
        raise EngineRefusedError(
            f"{file}: no {NOTE_FILE} lies beside it, so nobody can tell what it needs. {again}"
        )
    try:
        note = PlanNote.from_json(beside)
    except ValueError as error:
        raise EngineRefusedError(f"{error}\n{again}") from error
    if note.engine != engine:
        raise EngineRefusedError(
            f"{file}: {NOTE_FILE} says that {note.engine} made it, and {engine} loads only its own."
        )
    size = file.stat().st_size
    if size != note.plan_bytes:
        what = "truncated" if size < note.plan_bytes else "not the plan of its note"
        raise EngineRefusedError(
            f"{file}: {what}: it has {size} bytes, and was built with {note.plan_bytes}. {again}"
        )
    if file_hash(file) != note.plan_sha256:
        raise EngineRefusedError(f"{file}: its bytes were changed after it was built. {again}")
    return note


def description_of_plan(file: Path, engine: EngineName) -> PlanDescription:
    """What a plan needs; raises EngineRefusedError like note_of_plan."""
    note = note_of_plan(file, engine)
    architecture = ", ".join(note.architectures) + ("+" if note.newer_gpus else "")
    return PlanDescription(
        note.engine, note.version, architecture, newer_versions=note.newer_versions
    )


def misfit(plan: Description, machine: Machine) -> str:
    """Why a machine cannot load a plan, and what to do; empty where it can."""
    if not machine.architectures:
        return (
            "This machine has no NVIDIA GPU that CUDA's driver shows, and the plan needs one of "
            f"compute capability {plan.architecture}. Use an engine for CPUs here."
        )
    strangers = [one for one in machine.architectures if not _runs_on(plan.architecture, one)]
    if strangers:
        return (
            f"The plan was built for GPUs of compute capability {plan.architecture}, and this "
            f"machine has {', '.join(strangers)}. {REBUILT[plan.engine]}"
        )
    if machine.version and not _loads(plan, machine.version):
        return (
            f"The plan was made by version {plan.version} of its library, and this machine has "
            f"{machine.version}. Build it again with the version that serves it."
        )
    return ""


def _runs_on(architectures: str, gpu: str) -> bool:
    *_, oldest = architectures.split("+", 1)[0].split(", ")
    if architectures.endswith("+"):
        return _numbers(gpu) >= _numbers(oldest)
    return gpu in architectures.split(", ")


def _loads(plan: Description, version: str) -> bool:
    made, found = _numbers(plan.version), _numbers(version)
    known = min(len(made), len(found))
    if made[:known] == found[:known]:
        return True
    if not (isinstance(plan, PlanDescription) and plan.newer_versions):
        return False
    majors = (made[0], NEXT_MAJOR.get(made[0]))
    return found[0] in majors and found[:known] > made[:known]


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
