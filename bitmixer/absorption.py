"""Work that the layers behind make needless: ReLUs before quantisers, elements that no one reads."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import fx, nn
from torch.nn import functional as F

from bitmixer.layers import AbsorbedReLU, MixedConvolution, Site, StoredTensor
from bitmixer.operations import module_of, tensor_operands, tensor_users

RELU_FUNCTIONS = (F.relu, torch.relu, "relu", "relu_")


def absorb_relus(body: fx.GraphModule) -> None:
    """Let every ReLU whose result goes straight to layers that round it be done by those."""
    for node in [node for node in body.graph.nodes if _is_plain_relu(node)]:
        readers = [module_of(user) for user in _readers(node)]
        rounding = [reader for reader in readers if isinstance(reader, Site | StoredTensor)]
        if not readers or len(rounding) < len(readers):
            continue
        name = f"{node.name}_absorbed"
        body.add_submodule(name, AbsorbedReLU(rounding))
        with body.graph.inserting_before(node):
            absorbed = body.graph.call_module(name, tensor_operands(node)[:1])
        node.replace_all_uses_with(absorbed)
        body.graph.erase_node(node)


def thin_stored_tensors(body: fx.GraphModule) -> None:
    """Let training keep of a tensor that only strided 1x1 convolutions read no more than they read."""
    for node in body.graph.nodes:
        stored = module_of(node)
        if not isinstance(stored, StoredTensor):
            continue
        readers = [module_of(user) for user in node.users]
        strides = {_pointwise_stride(reader) for reader in readers}
        if len(strides) == 1 and (stride := strides.pop()) is not None:
            stored.read_stride = stride
            for reader in readers:
                assert isinstance(reader, MixedConvolution)
                reader.stored_inputs = (stored,)


def _pointwise_stride(reader: nn.Module | None) -> tuple[int, int] | None:
    if not isinstance(reader, MixedConvolution) or reader.weight.dim() != 4:
        return None
    pointwise = reader.weight.shape[2:] == (1, 1) and reader.padding == (0, 0)
    return (reader.stride[0], reader.stride[-1]) if pointwise else None


def _readers(node: fx.Node) -> Iterator[fx.Node]:
    for user in tensor_users(node):
        if type(module_of(user)) is nn.Identity:
            yield from _readers(user)
        else:
            yield user


def _is_plain_relu(node: fx.Node) -> bool:
    called = node.op in ("call_function", "call_method") and node.target in RELU_FUNCTIONS
    return called or type(module_of(node)) is nn.ReLU
