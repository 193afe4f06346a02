"""Attention as one operator of ONNX Runtime, instead of a dozen.

ONNX Runtime's own search for it misses what torch exports today, and says nothing (#21208), so
what is to be fused is found here, and anything left over is an error.
"""

from dataclasses import dataclass
from itertools import chain

import numpy as np
import onnx
from onnx import helper, numpy_helper

DOMAIN = "com.microsoft"


@dataclass(frozen=True)
class _Attention:
    """The nodes of one attention."""

    inside: list[onnx.NodeProto]
    """Everything between the three projections and the joined heads."""
    heads: list[str]
    """Query, key and value, (B, S, D) each."""
    bias: str
    """What is added to the scores, or nothing."""
    scale: float
    count: int
    """Heads."""
    out: str
    """The joined heads, (B, S, D)."""


def fused_from_graph(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with every attention fused; raises RuntimeError where one is left over."""
    fused = onnx.ModelProto()
    fused.CopyFrom(graph)
    nodes = _Nodes(fused)
    softmaxes = [node for node in fused.graph.node if node.op_type == "Softmax"]
    for number, softmax in enumerate(softmaxes):
        found = nodes.attention(softmax)
        node = helper.make_node(
            "MultiHeadAttention",
            [*found.heads, "", "", found.bias] if found.bias else found.heads,
            [found.out],
            f"attention_{number}",
            domain=DOMAIN,
            num_heads=found.count,
            scale=found.scale,
        )
        place = list(fused.graph.node).index(found.inside[-1])
        fused.graph.node.insert(place, node)
        for part in found.inside:
            fused.graph.node.remove(part)
    used = {name for node in fused.graph.node for name in node.input}
    for weight in [one for one in fused.graph.initializer if one.name not in used]:
        fused.graph.initializer.remove(weight)
    fused.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return fused


class _Nodes:
    """A graph's nodes by what they make and what they use."""

    def __init__(self, graph: onnx.ModelProto) -> None:
        self.makers = {name: node for node in graph.graph.node for name in node.output}
        self.users: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)
        self.constants = {weight.name: weight for weight in graph.graph.initializer}

    def attention(self, softmax: onnx.NodeProto) -> _Attention:
        """The attention around a softmax."""
        scores, bias = self.makers[softmax.input[0]], ""
        above: list[onnx.NodeProto] = []
        if scores.op_type == "Add":
            above, bias = [scores], scores.input[1]
            scores = self.makers[scores.input[0]]
        product = self._is(self.makers[self._is(scores, "Mul").input[0]], "MatMul")
        weighed = self._is(self._user(softmax), "MatMul")
        turned = self._is(self._user(weighed), "Transpose")
        joined = self._is(self._user(turned), "Reshape")
        split = [self._split(name) for name in (*product.input, weighed.input[1])]
        return _Attention(
            inside=[
                *chain.from_iterable(split),
                product,
                scores,
                *above,
                softmax,
                weighed,
                turned,
                joined,
            ],
            heads=[nodes[0].input[0] for nodes in split],
            bias=bias,
            scale=float(np.asarray(numpy_helper.to_array(self.constants[scores.input[1]]))),
            count=self._heads(split[0][0]),
            out=joined.output[0],
        )

    def _split(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that split a projection into heads, the first one first."""
        transpose = self._is(self.makers[name], "Transpose")
        before = self.makers[transpose.input[0]]
        if before.op_type == "Transpose":  # of the keys, once more
            return [self._is(self.makers[before.input[0]], "Reshape"), before, transpose]
        return [self._is(before, "Reshape"), transpose]

    def _heads(self, split: onnx.NodeProto) -> int:
        """How many heads a projection (B, S, D) is split into."""
        shape = split.input[1]  # (B, S, H, D / H), which may be put together as it runs
        if shape not in self.constants:
            shape = self._is(self.makers[shape], "Concat").input[-1]
        head = int(numpy_helper.to_array(self.constants[shape])[-1])
        bias = self._is(self.makers[split.input[0]], "Add").input[1]
        return self.constants[bias].dims[0] // head

    def _user(self, node: onnx.NodeProto) -> onnx.NodeProto:
        users = self.users[node.output[0]]
        if len(users) != 1:
            raise RuntimeError(f"{node.name}: used {len(users)} times, expected one attention.")
        return users[0]

    def _is(self, node: onnx.NodeProto, kind: str) -> onnx.NodeProto:
        if node.op_type != kind:
            raise RuntimeError(
                f"{node.name}: {node.op_type} where attention has a {kind}. The exporter's graph "
                "has changed; builder/fusion.py has to follow."
            )
        return node
