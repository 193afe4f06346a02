"""TensorRT, which builds on the GPU that serves, and TensorRT for RTX, which builds anywhere."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builder.engines.engine import (
    EngineMissingError,
    EngineName,
    EngineRefusedError,
    Range,
    Session,
)
from builder.engines.gpu import gpus
from builder.engines.plan import PlanChoices, PlanOptions, loaded, plan_from_onnx
from builder.engines.plan_file import (
    Machine,
    PlanDescription,
    PlanNote,
    description_of_plan,
    misfit,
    write_plan,
)
from clip_har.product import file_hash

RTX_CAPABILITIES = ("8.6", "8.9", "12.0")
"""RTX 30, 40 and 50."""
AMPERE = "8.0"


class PlanFiles(ABC):
    """What the two have in common."""

    name: EngineName
    file: str
    backend: Mapping[str, str]
    modules: tuple[str, ...]
    """Python modules that hold the library; the first that is there is taken."""
    install: str
    """How people get one."""

    def __init__(self, options: PlanOptions) -> None:
        self.options = options

    def version(self) -> str:
        """The library and its version; raises EngineMissingError where it is not there."""
        if reason := " ".join(self._no_module()):
            raise EngineMissingError(reason)
        return f"{self.name} {loaded(self._library()).__version__}"

    def missing(self) -> str:
        """Why this machine cannot run plans, and what to do; empty if it can."""
        reasons = [] if gpus() else [_no_gpu(f"{self.name} runs plans")]
        return " ".join([*reasons, *self._no_module()])

    @abstractmethod
    def unbuildable(self) -> str:
        """Why this machine cannot build plans, and what to do; empty if it can."""

    def build(self, graph: Path, file: Path, ranges: Mapping[str, Range]) -> None:
        """Makes a plan, and `engine.json` beside it; neither if it fails.

        Raises EngineMissingError before any work, and EngineRefusedError.
        """
        if reason := self.unbuildable():
            raise EngineMissingError(reason)
        architectures = self.architectures()
        library = self._library()
        plan = plan_from_onnx(library, graph, ranges, self.options)
        note = PlanNote(
            engine=self.name,
            version=loaded(library).__version__,
            architectures=architectures,
            newer_gpus=self.options.hardware == "ampere_plus",
            newer_versions=self.options.version_compatible,
            ranges=dict(ranges),
            onnx_sha256=file_hash(graph),
        )
        write_plan(file, plan, note)

    @abstractmethod
    def architectures(self) -> tuple[str, ...]:
        """Compute capabilities that a plan built now runs on."""

    def pointless(self, precision: str) -> str:
        """Nothing."""
        return ""

    def settings(self) -> Mapping[str, Any]:
        """Its options, and the GPUs that a plan is for."""
        options = self.options.model_dump(exclude={"timing_cache"})  # which makes it no other plan
        return {"options": options, "architectures": list(self.architectures())}

    def parameters(self, threads: int) -> dict[str, str]:
        """None: threads of the CPU do not matter."""
        return {}

    def open(self, file: Path, threads: int) -> Session:
        """Opens a plan on the first GPU; raises EngineMissingError or EngineRefusedError."""
        from builder.engines.plan_session import PlanSession

        if reason := self.missing():
            raise EngineMissingError(reason)
        description = self.describe(file)
        if reason := misfit(description, self.machine()):
            raise EngineRefusedError(f"{file}: {reason}")
        return PlanSession(self._library(), file, host_code=description.newer_versions)

    def describe(self, file: Path) -> PlanDescription:
        """What a plan needs; raises EngineRefusedError where it was cut short or changed."""
        return description_of_plan(file, self.name)

    def machine(self) -> Machine:
        """What `misfit` compares a plan with, here."""
        library = self._library()
        version = loaded(library).__version__ if library else ""
        return Machine(tuple(gpu.architecture for gpu in gpus()), version)

    def _library(self) -> str:
        return next((name for name in self.modules if _importable(name)), "")

    def _no_module(self) -> list[str]:
        if self._library():
            return []
        return [f"The Python module {' or '.join(self.modules)} cannot be imported. {self.install}"]


class TensorRT(PlanFiles):
    """Plans for the GPU of this machine; NVIDIA's Triton serves them."""

    name: EngineName = "tensorrt"
    file = "model.plan"
    backend: Mapping[str, str] = {"platform": "tensorrt_plan"}
    modules = ("tensorrt",)
    install = (
        "Build inside NVIDIA's TensorRT container (nvcr.io/nvidia/tensorrt) of the release of your "
        "tritonserver, or `pip install tensorrt==` the version that this tritonserver has."
    )

    def __init__(
        self, choices: PlanChoices | None = None, timing_cache: Path | None = None
    ) -> None:
        """What a profile chooses, and where measured kernels are kept for the next build."""
        chosen = (choices or PlanChoices()).model_dump()
        super().__init__(PlanOptions(**chosen, timing_cache=timing_cache))

    def unbuildable(self) -> str:
        """As `missing`, with a way out: the builder times kernels on the GPU."""
        if gpus():
            return " ".join(self._no_module())
        hint = "Build there, or take tensorrt_rtx, which builds without a GPU."
        return " ".join([_no_gpu("tensorrt builds plans"), hint, *self._no_module()])

    def architectures(self) -> tuple[str, ...]:
        """That of the first GPU, or where all begin that a plan for Ampere and newer runs on."""
        if self.options.hardware == "ampere_plus":
            return (AMPERE,)
        return (gpus()[0].architecture,)


class TensorRTForRTX(PlanFiles):
    """Engines for RTX GPUs, built ahead of time; NVIDIA's Triton has no backend for them."""

    name: EngineName = "tensorrt_rtx"
    file = "model.engine"
    backend: Mapping[str, str] = {"backend": "tensorrt_rtx"}
    modules = ("tensorrt_rtx", "tensorrt_rtx_bindings")
    install = (
        "`pip install tensorrt-rtx-cu12-bindings==1.7.1.116 tensorrt-rtx-cu12-libs==1.7.1.116`."
    )

    def __init__(
        self,
        capabilities: tuple[str, ...] = RTX_CAPABILITIES,
        *,
        workspace_mib: int | None = None,
    ) -> None:
        """Compute capabilities to build for; what else PlanOptions has, the library does not do.

        Its timing cache does nothing but ask for a GPU, and its plans are for its own version.
        """
        if not capabilities:
            raise ValueError(
                f"tensorrt_rtx: capabilities is empty. Name some, such as {RTX_CAPABILITIES}."
            )
        super().__init__(PlanOptions(capabilities=capabilities, workspace_mib=workspace_mib))

    def unbuildable(self) -> str:
        """A missing module; no GPU is needed."""
        return " ".join(self._no_module())

    def architectures(self) -> tuple[str, ...]:
        """Those that were named."""
        return self.options.capabilities


def _no_gpu(what: str) -> str:
    return f"{what} only where an NVIDIA GPU is, and CUDA's driver shows none on this machine."


def _importable(module: str) -> bool:
    try:  # stubs alone import too, as an empty package
        return hasattr(importlib.import_module(module), "Builder")
    except (ImportError, OSError):
        return False
