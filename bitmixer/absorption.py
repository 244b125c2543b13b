"""ReLUs that the quantisers behind them do anyway."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import fx, nn
from torch.nn import functional as F

from bitmixer.layers import AbsorbedReLU, Site, StoredTensor
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


def _readers(node: fx.Node) -> Iterator[fx.Node]:
    for user in tensor_users(node):
        if type(module_of(user)) is nn.Identity:
            yield from _readers(user)
        else:
            yield user


def _is_plain_relu(node: fx.Node) -> bool:
    called = node.op in ("call_function", "call_method") and node.target in RELU_FUNCTIONS
    return called or type(module_of(node)) is nn.ReLU
