"""An ONNX graph to a plan, through TensorRT or TensorRT for RTX: one path, the module its argument.

The two have one Python API. What is called here is in TensorRT 10.13 (pyright checks it against
the published stubs), in the bindings of 11.1 and in TensorRT for RTX 1.7; all of them are or can be
strongly typed, so precision lives in the graph and no precision flag is needed.
"""

import importlib
import logging
import multiprocessing
import signal
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from builder.engines.engine import EngineRefusedError, Range
from builder.engines.plan_ranges import GraphInput, check_ranges
from clip_har.config import Config
from clip_har.product import write_whole

if TYPE_CHECKING:
    import tensorrt  # pyright: ignore[reportMissingModuleSource]

logger = logging.getLogger(__name__)
LEVELS = (logging.ERROR, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)
"""Of Python's logging, in the order of the library's severities."""
MIB = 2**20


class PlanChoices(Config):
    """What a profile may choose of a plan; None leaves it to the library."""

    version_compatible: bool = False
    """True lets later releases load the plan, at some cost in speed; tritonserver then needs
    `--backend-config=tensorrt,version-compatible=true`."""
    hardware: Literal["this_gpu", "same_capability", "ampere_plus"] = "this_gpu"
    """GPUs that the plan runs on."""
    workspace_mib: int | None = Field(default=None, gt=0)
    """Largest scratch memory that a layer may take, in MiB."""
    optimization_level: int | None = Field(default=None, ge=0, le=5)
    """How long the builder searches: 5 is the longest."""


class PlanOptions(PlanChoices):
    """How a plan is built."""

    capabilities: tuple[str, ...] = ()
    """Compute capabilities to build for ahead of time, such as `8.9`; empty for the GPU here."""
    timing_cache: Path | None = None
    """File of measured kernels that makes the next build faster; made where it is not there."""


def loaded(library: str):  # the type is what pyright infers
    """The module of that name: `tensorrt`, or one of TensorRT for RTX, which has the same API."""
    if TYPE_CHECKING:
        return tensorrt
    return importlib.import_module(library)


def plan_from_onnx(
    library: str, graph: Path, ranges: Mapping[str, Range], options: PlanOptions
) -> bytes:
    """The plan of a graph, built in a process of its own; writes nothing but the timing cache.

    The library keeps one logger a process, takes Ctrl-C for itself and may crash; a process of its
    own gives each build its logger, and can be stopped.

    Raises EngineRefusedError for an architecture that the library does not build for, a graph that
    its parser does not take, ranges that are not the graph's, and a build that fails.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    level = logger.getEffectiveLevel()
    order = (theirs, level, library, graph, dict(ranges), options)
    child = context.Process(target=_answer, args=order, daemon=True)
    child.start()
    theirs.close()  # so that its end is seen here
    try:
        return _answered(ours)
    except EOFError:
        child.join()
        raise EngineRefusedError(
            f"{graph}: {_named(library)} ended with exit code {child.exitcode} while it built a "
            "plan. See its messages above, and say so to NVIDIA with the graph."
        ) from None
    finally:
        child.kill()
        child.join()
        ours.close()


def _answered(pipe: Connection) -> bytes:
    """What the other process comes to; what it logs meanwhile is logged here."""
    while isinstance(told := pipe.recv(), tuple):
        name, level, message = told
        logging.getLogger(name).log(level, "%s", message)
    if isinstance(told, Exception):
        raise told
    return told


def _answer(
    pipe: Connection,
    level: int,
    library: str,
    graph: Path,
    ranges: Mapping[str, Range],
    options: PlanOptions,
) -> None:
    """Sends what is logged, then a plan or what was raised instead."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that waits for the plan decides
    logging.basicConfig(level=level, handlers=[Sender(pipe)])
    logging.captureWarnings(capture=True)
    try:
        pipe.send(_plan_from_onnx(library, graph, ranges, options))
    except Exception as error:
        pipe.send(error)


class Sender(logging.Handler):
    """Sends what is logged down a pipe: logger, level, message."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self.pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        self.pipe.send((record.name, record.levelno, record.getMessage()))


def _plan_from_onnx(
    library: str, graph: Path, ranges: Mapping[str, Range], options: PlanOptions
) -> bytes:
    trt = loaded(library)
    log: list[str] = []
    keeper = log_keeper(library, log)
    builder = trt.Builder(keeper)
    config = builder.create_builder_config()
    _set_capabilities(library, config, options.capabilities)
    _set_options(library, config, options)
    # TensorRT 10 needs the flag; 11 and TensorRT for RTX know no other network and ignore it.
    strong = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(strong)
    _parse(library, network, keeper, graph)
    try:
        check_ranges(_inputs(network), ranges)
    except EngineRefusedError as error:
        raise EngineRefusedError(f"{graph}: {error}") from None
    profile = builder.create_optimization_profile()
    for name, wanted in ranges.items():
        shapes = (wanted.least, wanted.usual, wanted.most)
        profile.set_shape(name, *(trt.Dims(list(shape)) for shape in shapes))
    config.add_optimization_profile(profile)
    logger.debug("%s: building", graph)
    plan = builder.build_serialized_network(network, config)
    if not plan:
        told = "\n".join(log) or "It did not say why."
        raise EngineRefusedError(f"{graph}: {_named(library)} could not build a plan.\n{told}")
    if options.timing_cache:
        write_whole(options.timing_cache, bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def offered_capabilities(library: str) -> dict[str, Any]:
    """The module's values for the compute capabilities that it builds for without a GPU."""
    kind = vars(loaded(library)).get("ComputeCapability")  # TensorRT itself has none
    members: dict[str, Any] = kind.__members__ if kind else {}
    offered = {
        f"{name[2:-1]}.{name[-1]}": value
        for name, value in members.items()
        if name.startswith("SM")
    }
    return dict(sorted(offered.items(), key=lambda item: float(item[0])))


def log_keeper(library: str, log: list[str]) -> "tensorrt.ILogger":
    """A logger of the library that hands on to Python's logging; `log` gets warnings and errors."""
    trt = loaded(library)

    class LogKeeper(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 wants it called by name

        def log(self, severity: "tensorrt.ILogger.Severity", msg: str) -> None:
            level = LEVELS[int(severity)]
            if level >= logging.WARNING:
                log.append(msg)
            logger.log(level, "%s", msg)

    return LogKeeper()


def _named(library: str) -> str:
    return f"{library} {loaded(library).__version__}"


def _set_capabilities(
    library: str, config: "tensorrt.IBuilderConfig", capabilities: Sequence[str]
) -> None:
    if not capabilities:
        return
    offered = offered_capabilities(library)
    if unknown := [name for name in capabilities if name not in offered]:
        raise EngineRefusedError(
            f"compute capability {', '.join(unknown)}: {_named(library)} builds ahead of time for "
            f"{', '.join(offered) or 'none'}. Name some of those in the profile's capabilities."
        )
    ahead: Any = config  # in TensorRT for RTX only, so not in the stubs
    ahead.num_compute_capabilities = len(capabilities)
    for place, name in enumerate(capabilities):
        ahead.set_compute_capability(offered[name], place)


def _set_options(library: str, config: "tensorrt.IBuilderConfig", options: PlanOptions) -> None:
    trt = loaded(library)
    level = trt.HardwareCompatibilityLevel
    if options.hardware == "ampere_plus":
        config.hardware_compatibility_level = level.AMPERE_PLUS
    elif options.hardware == "same_capability":
        config.hardware_compatibility_level = level.SAME_COMPUTE_CAPABILITY
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.workspace_mib is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mib * MIB)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.timing_cache:
        _set_timing_cache(config, options.timing_cache)


def _set_timing_cache(config: "tensorrt.IBuilderConfig", path: Path) -> None:
    """Takes a cache from disk; one of another GPU or release is not used and will be replaced."""
    content = path.read_bytes() if path.is_file() else b""
    if not config.set_timing_cache(config.create_timing_cache(content), ignore_mismatch=False):
        logger.warning("%s: of another GPU or release, so it starts anew.", path)
        config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


def _parse(
    library: str, network: "tensorrt.INetworkDefinition", keeper: "tensorrt.ILogger", graph: Path
) -> None:
    parser = loaded(library).OnnxParser(network, keeper)
    if parser.parse_from_file(str(graph)):
        return
    lines: list[str] = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        where = f"node {error.node_name()} ({error.node_operator()}): " if error.node() >= 0 else ""
        lines.append(f"- {where}{error.desc()}")
    told = "\n".join(lines)
    raise EngineRefusedError(f"{graph}: the parser of {_named(library)} does not take it.\n{told}")


def _inputs(network: "tensorrt.INetworkDefinition") -> list[GraphInput]:
    inputs: list[GraphInput] = []
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        shape = tensor.shape[:]
        axes = tuple(tensor.get_dimension_name(place) or "" for place in range(len(shape)))
        inputs.append(GraphInput(tensor.name, shape, axes))
    return inputs
