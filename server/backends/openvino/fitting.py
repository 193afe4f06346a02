"""A graph made to take and give the tensors of config.pbtxt.

What Triton's C++ backend refuses is refused here too.
"""

# openvino is typed only in part, and imported where its telemetry is off.
# pyright: basic

from collections.abc import Sequence
from typing import Any

from server.backends.model_settings import Table, dims_of

ELEMENTS = {
    "TYPE_BOOL": "boolean",
    "TYPE_UINT8": "u8",
    "TYPE_UINT16": "u16",
    "TYPE_UINT32": "u32",
    "TYPE_UINT64": "u64",
    "TYPE_INT8": "i8",
    "TYPE_INT16": "i16",
    "TYPE_INT32": "i32",
    "TYPE_INT64": "i64",
    "TYPE_FP16": "f16",
    "TYPE_FP32": "f32",
}
"""OpenVINO's name of each of Triton's element types that the backend serves."""


def fitted(model: Any, config: Table, reshapes: bool) -> Any:
    """The openvino.Model with the types and, if it batches, the max_batch_size of the config.

    With `reshapes`, its inputs take the config's dims as well. Raises ValueError where names, types
    or dims of config and graph disagree.
    """
    import openvino

    max_batch = int(config["max_batch_size"])
    _check_inputs(config, model.inputs)
    process = openvino.preprocess.PrePostProcessor(model)
    for tensor in config["input"]:
        node = _node("input", tensor, model.inputs)
        wanted = process.input(tensor["name"]).tensor()
        wanted.set_element_type(_element("input", tensor))
        if reshapes:
            wanted.set_shape(openvino.PartialShape(_new_shape(tensor, node, max_batch)))
        else:
            _check_input(tensor, node, max_batch)
        if max_batch:
            wanted.set_layout(openvino.Layout("N..."))
    model = process.build()
    if max_batch:
        openvino.set_batch(model, max_batch)

    process = openvino.preprocess.PrePostProcessor(model)
    for tensor in config["output"]:
        node = _node("output", tensor, model.outputs)
        process.output(tensor["name"]).tensor().set_element_type(_element("output", tensor))
        _check_output(tensor, node, max_batch)
    return process.build()


def with_any_batch(model: Any) -> Any:
    """The batched model with a free first axis."""
    import openvino

    openvino.set_batch(model, openvino.Dimension.dynamic())
    return model


def _check_inputs(config: Table, nodes: Sequence[Any]) -> None:
    if len(config["input"]) != len(nodes):
        raise ValueError(
            f"config.pbtxt has {len(config['input'])} inputs, the graph {len(nodes)}: "
            f"{_names(nodes)}."
        )
    if any(tensor.get("optional") for tensor in config["input"]):
        raise ValueError("OpenVINO has no optional inputs.")


def _node(kind: str, tensor: Table, nodes: Sequence[Any]) -> Any:
    node = next((node for node in nodes if node.get_any_name() == tensor["name"]), None)
    if node is None:
        raise ValueError(f"the graph has no {kind} {tensor['name']!r}. It has: {_names(nodes)}.")
    return node


def _element(kind: str, tensor: Table) -> Any:
    import openvino

    name = ELEMENTS.get(tensor["data_type"])
    if name is None:
        raise ValueError(
            f"{kind} {tensor['name']!r} is {tensor['data_type']}, which the OpenVINO backend does "
            f"not serve; it serves {', '.join(ELEMENTS)}."
        )
    return getattr(openvino.Type, name)


def _new_shape(tensor: Table, node: Any, max_batch: int) -> list[int]:
    dims, shape = dims_of(tensor), _shape(node)
    if any(dim == 0 or dim < -1 for dim in dims):
        raise ValueError(f"input {tensor['name']!r} has the dims {dims}; each is -1 or above 0.")
    batch = shape[:1] if max_batch else []
    if len(batch) + len(dims) != len(shape):
        raise ValueError(_disagreement("input", tensor, [*batch, *dims], shape))
    return [*batch, *dims]


def _check_input(tensor: Table, node: Any, max_batch: int) -> None:
    """Fixed axes are equal; a batched model's config may leave them open."""
    dims, shape = dims_of(tensor), _shape(node)
    full = [-1, *dims] if max_batch else dims
    if len(full) != len(shape) or not all(
        size in (dim, -1) or (dim == -1 and max_batch)
        for size, dim in zip(shape, full, strict=True)
    ):
        raise ValueError(_disagreement("input", tensor, full, shape))


def _check_output(tensor: Table, node: Any, max_batch: int) -> None:
    """Fixed axes are equal, the batch included; the graph may leave some open."""
    dims, shape = dims_of(tensor), _shape(node)
    full = [max_batch, *dims] if max_batch else dims
    if len(full) != len(shape) or not all(
        size in (dim, -1) for size, dim in zip(shape, full, strict=True)
    ):
        raise ValueError(_disagreement("output", tensor, full, shape))


def _disagreement(kind: str, tensor: Table, full: Sequence[int], shape: Sequence[int]) -> str:
    return (
        f"{kind} {tensor['name']!r} has the shape {list(full)} in config.pbtxt with the batch axis "
        f"if there is one, but {list(shape)} in the graph; where that is not -1 they must be equal."
    )


def _shape(node: Any) -> list[int]:
    return [dim.get_length() if dim.is_static else -1 for dim in node.partial_shape]


def _names(nodes: Sequence[Any]) -> str:
    return ", ".join(node.get_any_name() for node in nodes)
