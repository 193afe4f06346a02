"""Machines that are here and machines that are not, and repositories that fit them or do not."""

import re
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from builder.doctor import Finding, examine
from builder.engines.engine import Description, EngineName
from builder.engines.gpu import Gpu
from builder.engines.plan_file import PlanNote, write_plan
from builder.machine import Machine, TritonFacts
from builder.manifest import (
    GraphRecord,
    Manifest,
    read_manifest,
    repository_files,
    write_manifest,
)

MACHINE = Machine(cpu_flags=frozenset({"avx2", "avx512_vnni"}), cores=4)
RTX_4090 = Gpu("NVIDIA GeForce RTX 4090", "8.9")
WHEEL = TritonFacts(
    home=Path("/wheel"),
    version=(2, 51, 0),
    backends=frozenset({"python", "onnxruntime", "openvino"}),
    python_backends=frozenset({"python", "onnxruntime", "openvino"}),
    packages={"numpy": "1.26.4", "onnxruntime": "1.32.0", "openvino": "2026.4.1"},
)
CONTAINER = TritonFacts(
    home=Path("/opt/tritonserver"),
    version=(2, 73, 0),
    backends=frozenset({"python", "onnxruntime", "openvino", "tensorrt"}),
    python_backends=frozenset({"python"}),
    libraries={"tensorrt": "10.13.2", "onnxruntime": "1.27.0"},
    packages={"numpy": "2.2.6"},
)
BACKENDS: dict[EngineName, str] = {
    "onnxruntime": 'platform: "onnxruntime_onnx"',
    "openvino": 'backend: "openvino"\n'
    'parameters { key: "ENABLE_BATCH_PADDING" value { string_value: "YES" } }',
    "tensorrt": 'platform: "tensorrt_plan"',
    "tensorrt_rtx": 'backend: "tensorrt_rtx"',
}
VERSIONS: dict[EngineName, str] = {
    "onnxruntime": "onnxruntime 1.27.0",
    "openvino": "openvino 2026.4.1",
    "tensorrt": "10.13.2",
    "tensorrt_rtx": "1.7.1",
}
CHAIN = """
name: "har" platform: "ensemble" max_batch_size: 8
ensemble_scheduling { max_inflight_requests: 16
  step [{ model_name: "graph" model_version: -1 }] }
"""


@pytest.fixture
def write_build(tmp_path: Path):
    """Writes a build of one graph of an engine."""

    def write(
        engine: EngineName = "onnxruntime",
        *,
        opset: int = 20,
        ir_version: int = 10,
        flags: tuple[str, ...] = (),
        threads: int = 4,
        max_batch: int = 8,
    ) -> Path:
        version = tmp_path / "model_repository" / "graph" / "1"
        version.mkdir(parents=True)
        config = f'name: "graph" max_batch_size: {max_batch}\n{BACKENDS[engine]}\n'
        (version.parent / "config.pbtxt").write_text(config)
        if engine.startswith("tensorrt"):
            file = version / "model.plan"
            note = PlanNote(
                engine=engine,
                version=VERSIONS[engine],
                architectures=("8.9",),
                ranges={},
                onnx_sha256="0" * 64,
            )
            write_plan(file, b"plan", note)
        else:
            file = version / "model.onnx"
            onnx.save(identity(opset, ir_version), file)
        graph = GraphRecord(
            engine=engine,
            precision="fp32",
            threads=threads,
            file=f"graph/1/{file.name}",
            description=Description(engine, VERSIONS[engine], cpu_flags=flags),
        )
        sign(tmp_path, graph)
        return tmp_path

    return write


def identity(opset: int, ir_version: int) -> onnx.ModelProto:
    tensors = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B"])] for name in "XY"]
    graph = helper.make_graph([helper.make_node("Identity", ["X"], ["Y"])], "graph", *tensors)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def sign(folder: Path, graph: GraphRecord) -> None:
    manifest = Manifest(
        profile={},
        checkpoints={},
        models={"graph": graph},
        parity={},
        files=repository_files(folder / "model_repository"),
        provenance={},
    )
    write_manifest(folder, manifest)


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    (finding,) = findings
    assert all((finding.subject, finding.found, finding.expected, finding.remedy))
    return finding


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_build_fits_the_machine_that_it_was_made_for(write_build, engine) -> None:
    assert examine(write_build(engine), MACHINE, WHEEL) == []


def test_a_plan_fits_its_own_gpu_in_the_container(write_build) -> None:
    assert examine(write_build("tensorrt"), replace(MACHINE, gpus=(RTX_4090,)), CONTAINER) == []


@pytest.mark.parametrize(
    ("gpus", "libraries", "found", "remedy"),
    [
        ((), {"tensorrt": "10.13.2"}, "has no NVIDIA GPU", "Use an engine for CPUs"),
        ((Gpu("T4", "7.5"),), {"tensorrt": "10.13.2"}, r"8.9, and this machine has 7.5", "again"),
        ((RTX_4090,), {"tensorrt": "10.3.0"}, r"version 10.13.2 .* has 10.3.0", "Build it again"),
    ],
    ids=["no GPU", "another GPU", "another TensorRT"],
)
def test_a_plan_for_another_machine_is_an_error(
    write_build, gpus, libraries, found, remedy
) -> None:
    machine = replace(MACHINE, gpus=gpus)
    finding = only(
        examine(write_build("tensorrt"), machine, replace(CONTAINER, libraries=libraries))
    )
    assert (finding.severity, finding.subject) == ("error", "graph")
    assert re.search(found, finding.found)
    assert remedy in finding.remedy
    assert finding.expected == "a GPU of compute capability 8.9, tensorrt 10.13.2"


def test_a_backend_that_this_triton_lacks_is_an_error(write_build) -> None:
    machine = replace(MACHINE, gpus=(RTX_4090,))
    finding = only(examine(write_build("tensorrt"), machine, WHEEL))
    assert finding.found == "needs the backend tensorrt, and Triton in /wheel has none"
    assert "NVIDIA's container" in finding.remedy


def test_no_triton_serves_tensorrt_for_rtx(write_build) -> None:
    machine = replace(MACHINE, gpus=(RTX_4090,))
    finding = only(examine(write_build("tensorrt_rtx"), machine, CONTAINER))
    assert "needs the backend tensorrt_rtx" in finding.found


def test_a_drop_in_without_its_package_is_an_error(write_build) -> None:
    bare = replace(WHEEL, packages={"numpy": "1.26.4"})
    finding = only(examine(write_build("openvino"), MACHINE, bare))
    assert finding.found == "the serving environment lacks the package openvino"


@pytest.mark.parametrize(
    ("version", "numpy", "fits"),
    [
        ((2, 51, 0), "1.26.4", True),
        ((2, 51, 0), "2.0.0", False),
        ((), "2.0.0", False),
        ((2, 52, 0), "2.4.6", True),
        ((2, 52, 0), "", False),
    ],
)
def test_numpy_2_and_an_old_triton_never_meet(write_build, version, numpy, fits) -> None:
    packages = {**WHEEL.packages, "numpy": numpy}
    triton = replace(WHEEL, version=version, packages=packages)
    findings = examine(write_build(), MACHINE, triton)
    assert [finding.subject for finding in findings] == ([] if fits else ["numpy"])


@pytest.mark.parametrize(
    ("opset", "ir_version", "runtime", "faults"),
    [
        (21, 10, "1.32.0", []),
        (22, 10, "1.32.0", ["opset 22 cannot be read"]),
        (21, 11, "1.32.0", ["IR version 11 cannot be read"]),
        (20, 9, "1.17.3", []),
        (21, 10, "1.17.3", ["opset 21 cannot be read", "IR version 10 cannot be read"]),
    ],
)
def test_a_graph_newer_than_the_runtime_is_an_error(
    write_build, opset, ir_version, runtime, faults
) -> None:
    triton = replace(WHEEL, packages={**WHEEL.packages, "onnxruntime": runtime})
    findings = examine(write_build(opset=opset, ir_version=ir_version), MACHINE, triton)
    assert [one.found for one in findings if one.severity == "error"] == faults


def test_an_older_runtime_than_the_proved_one_is_a_warning(write_build) -> None:
    older = replace(CONTAINER, libraries={"onnxruntime": "1.19.2"})
    finding = only(examine(write_build(), MACHINE, older))
    assert finding.severity == "warning"
    assert finding.found == "onnxruntime 1.19.2 runs what 1.27.0 was proved on"


def test_openvinos_own_backend_loses_answers_where_it_pads(write_build, tmp_path) -> None:
    finding = only(examine(write_build("openvino"), MACHINE, CONTAINER))
    assert (finding.severity, finding.subject) == ("error", "graph")
    assert "loses answers where it pads a batch" in finding.found


def test_openvinos_own_backend_is_right_for_single_rows(write_build) -> None:
    assert examine(write_build("openvino", max_batch=1), MACHINE, CONTAINER) == []


def test_a_cpu_without_the_proved_features_is_a_warning(write_build) -> None:
    build = write_build("openvino", flags=("avx512_vnni", "avx512_bf16"))
    finding = only(examine(build, MACHINE, WHEEL))
    assert finding.severity == "warning"
    assert "this CPU lacks avx512_bf16" in finding.found


@pytest.mark.parametrize(
    ("threads", "cores", "severity"), [(4, 2, "warning"), (2, 8, "note"), (2, 2, None)]
)
def test_threads_are_held_against_cores(write_build, threads, cores, severity) -> None:
    findings = examine(write_build(threads=threads), replace(MACHINE, cores=cores), WHEEL)
    assert [one.severity for one in findings] == ([severity] if severity else [])


@pytest.mark.parametrize(("version", "fits"), [((2, 51, 0), False), ((2, 73, 0), True)])
def test_a_field_that_this_triton_does_not_know_is_an_error(write_build, version, fits) -> None:
    build = write_build()
    chain = build / "model_repository" / "har"
    (chain / "1").mkdir(parents=True)
    (chain / "config.pbtxt").write_text(CHAIN)
    sign(build, read_manifest(build).models["graph"])
    findings = examine(build, MACHINE, replace(WHEEL, version=version))
    assert [one.subject for one in findings] == ([] if fits else ["har"])


def test_changed_files_come_before_what_is_only_slow(write_build) -> None:
    build = write_build(flags=("amx_bf16",), threads=1)
    (build / "model_repository" / "graph" / "1" / "extra").write_text("")
    findings = examine(build, MACHINE, WHEEL)
    assert [one.severity for one in findings] == ["error", "warning", "note"]
    assert findings[0].subject == "graph/1/extra"


def test_a_truncated_graph_is_named(write_build) -> None:
    build = write_build()
    file = build / "model_repository" / "graph" / "1" / "model.onnx"
    file.write_bytes(file.read_bytes()[:-20])
    found = [one.found for one in examine(build, MACHINE, WHEEL)]
    assert any("has changed" in text for text in found)
    assert "graph/1/model.onnx is no ONNX file" in found


def test_a_changed_plan_is_named(write_build) -> None:
    build = write_build("tensorrt")
    (build / "model_repository" / "graph" / "1" / "model.plan").write_bytes(b"pl")
    findings = examine(build, replace(MACHINE, gpus=(RTX_4090,)), CONTAINER)
    assert any("truncated" in one.found for one in findings)


def test_an_interrupted_publication_is_told(write_build) -> None:
    build = write_build()
    write_manifest(build, read_manifest(build).model_copy(update={"pending": (2,)}))
    finding = only(examine(build, MACHINE, WHEEL))
    assert (finding.severity, finding.subject) == ("warning", "version 2")


def test_no_triton_and_no_build_are_told(write_build, tmp_path: Path) -> None:
    assert only(examine(write_build(), MACHINE, None)).subject == "tritonserver"
    assert "no manifest.json in it" in only(examine(tmp_path / "none", MACHINE, WHEEL)).found
