"""Convolution and pooling as ONNX's own operators, where ONNX Runtime has kernels for the dtype."""

from typing import Any

import ndonnx as ndx
import spox.opset.ai.onnx.v21 as op

from bpkit.interop.onnx.functions import exported_as
from bpkit.interop.onnx.graph import Graph
from bpkit.interop.onnx.recording import Node
from bpkit.sliding import seen_lengths

__all__: list[str] = []


@exported_as("conv")
def _conv(g: Graph, node: Node, x: Any, weight: Any) -> Any:
    sliding, places = node.static["sliding"], node.static["places"]
    image, kernel = g.array(x, node.dtypes[0]), g.array(weight, node.dtypes[0])
    seen = seen_lengths(places, kernel.shape[2:], sliding.stride, sliding.dilation)
    # What stands after the last element that the window sees: nothing, or zeros.
    after = [
        end - before - length
        for end, before, length in zip(seen, sliding.before, image.shape[2:], strict=True)
    ]
    out = op.conv(
        image.unwrap_spox(),
        kernel.unwrap_spox(),
        strides=sliding.stride,
        dilations=sliding.dilation,
        group=sliding.groups,
        pads=[*sliding.before, *[max(0, n) for n in after]],
    )
    return ndx.asarray(out)


@exported_as("conv_transpose")
def _conv_transpose(g: Graph, node: Node, x: Any, weight: Any) -> Any:
    sliding, lengths = node.static["sliding"], node.static["lengths"]
    image, kernel = g.array(x, node.dtypes[0]), g.array(weight, node.dtypes[0])
    seen = seen_lengths(image.shape[2:], kernel.shape[2:], sliding.stride, sliding.dilation)
    ends = [before + length - end for end, before, length in zip(seen, sliding.before, lengths, strict=True)]
    out = op.conv_transpose(
        image.unwrap_spox(),
        kernel.unwrap_spox(),
        strides=sliding.stride,
        dilations=sliding.dilation,
        group=sliding.groups,
        pads=[*sliding.before, *[max(0, -n) for n in ends]],
        output_padding=[max(0, n) for n in ends],
    )
    return ndx.asarray(out)


@exported_as("max_pool")
def _max_pool(g: Graph, node: Node, x: Any) -> Any:
    moving = node.static["moving"]
    out, _ = op.max_pool(
        g.array(x).unwrap_spox(),
        kernel_shape=moving.window,
        strides=moving.stride,
        dilations=moving.dilation,
    )
    return ndx.asarray(out)
