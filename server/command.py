"""The command line of tritonserver, made of the options that the found release knows."""

from pathlib import Path

from server.address import Endpoints
from server.discovery import TritonServer

EXIT_TIMEOUT = 5
"""Seconds that a stopping server waits for requests in flight."""
STUB_TIMEOUT = 120
"""Seconds that a Python model may take to load; Triton's own 30 is short on a busy machine."""
GPU_DRIVER = Path("/proc/driver/nvidia/version")


def command_line(
    server: TritonServer,
    repository: Path,
    endpoints: Endpoints,
    shm_prefix: str,
    *,
    accept_loads: bool = False,
    cache_mib: int = 0,
) -> list[str]:
    """Program and arguments. Python backends name their shared memory `shm_prefix` + an id.

    `accept_loads`: models may be loaded and unloaded by request, which `builder publish` needs.
    `cache_mib`: memory for the answers of models whose response cache is on.
    """
    wanted = _options(repository, endpoints) | _layout(server)
    if not GPU_DRIVER.exists():
        wanted |= {"allow-gpu-metrics": "false", "pinned-memory-pool-byte-size": "0"}
    if accept_loads:
        wanted |= {"model-control-mode": "explicit", "load-model": "*"}
    if cache_mib:
        wanted["cache-config"] = f"local,size={cache_mib * 2**20}"
    if server.bundled:  # 2.51 was seen to hang where four models load at once on a starved machine
        wanted["model-load-thread-count"] = "1"
    known = server.options()
    arguments = [f"--{name}={value}" for name, value in wanted.items() if name in known]
    arguments.append("--disable-auto-complete-config")
    for backend in server.python_backends:
        arguments.append(f"--backend-config={backend},shm-region-prefix-name={shm_prefix}")
        arguments.append(f"--backend-config={backend},stub-timeout-seconds={STUB_TIMEOUT}")
    return [str(server.executable), *arguments]


def _options(repository: Path, endpoints: Endpoints) -> dict[str, str]:
    return {
        "model-repository": str(repository.resolve()),
        "model-control-mode": "none",
        "exit-on-error": "true",
        "strict-readiness": "true",
        "exit-timeout-secs": str(EXIT_TIMEOUT),
        "http-address": endpoints.address,
        "grpc-address": endpoints.address,
        "metrics-address": endpoints.address,
        "http-port": str(endpoints.http_port),
        "grpc-port": str(endpoints.grpc_port),
        "metrics-port": str(endpoints.metrics_port),
    }


def _layout(server: TritonServer) -> dict[str, str]:
    folders = {
        "backend-directory": server.home / "backends",
        "repoagent-directory": server.home / "repoagents",
        "cache-directory": server.home / "caches",
    }
    return {option: str(folder) for option, folder in folders.items() if folder.is_dir()}
