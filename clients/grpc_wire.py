"""Questions and answers as Triton's gRPC messages."""

# pyright: reportMissingTypeStubs=false

from typing import Any

from google.protobuf.json_format import MessageToDict
from tritonclient.grpc import service_pb2

from clients.query import Command, Query, Region, Tensor, Tensors, array_from_content

pb: Any = service_pb2
"""The wheel ships no types of its messages."""


def message_from_query(query: Query) -> Any:
    """A ModelInferRequest."""
    message = pb.ModelInferRequest(model_name=query.model)
    for tensor in query.inputs:
        _add_input(message, tensor)
    for output in query.outputs:
        wanted = message.outputs.add(name=output.name)
        if query.class_count:
            wanted.parameters["classification"].int64_param = query.class_count
    if query.sequence:
        message.parameters["sequence_id"].int64_param = query.sequence.id
        message.parameters["sequence_start"].bool_param = query.sequence.start
        message.parameters["sequence_end"].bool_param = query.sequence.end
    return message


def _add_input(message: Any, tensor: Tensor) -> None:
    given = message.inputs.add(
        name=tensor.spec.name, datatype=tensor.spec.dtype, shape=tensor.shape
    )
    if isinstance(tensor.content, Region):
        given.parameters["shared_memory_region"].string_param = tensor.content.name
        given.parameters["shared_memory_byte_size"].int64_param = tensor.byte_size
    else:
        message.raw_input_contents.append(tensor.content)


def tensors_from_message(message: Any) -> Tensors:
    """The outputs of a ModelInferResponse."""
    return {
        told.name: array_from_content(told.datatype, told.shape, content)
        for told, content in zip(message.outputs, message.raw_output_contents, strict=True)
    }


def message_from_command(command: Command) -> Any:
    """The request message of a command."""
    return getattr(pb, f"{command.rpc}Request")(**command.fields)


def fields_from_message(message: Any) -> dict[str, Any]:
    """What the server told, by name."""
    return MessageToDict(message, preserving_proto_field_name=True)
