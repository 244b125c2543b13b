"""Proof by inspection that every convolution of a network multiplies signs with signs.

A dispatch mode sees every convolution that torch computes, whoever calls it: modules, functions, quantised layers. What
runs as an AND or XNOR of bits must have -1 and +1 alone on both sides, padding included.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from bitmixer.errors import BitWidthError

_PADDING = 4
"""Position of the padding among the arguments of ``aten.convolution``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvolutionOperands:
    """What one convolution multiplied.

    Attributes:
        name: Path of the module that called it; empty where the network itself did.
        input_values: Different values of its input, ascending; no more than ``MOST_VALUES`` of them.
        weight_values: Different values of its weights over the largest size of their output channel: -1 and +1 where
            each channel has one size, which a scale behind the product stands for.
        pads_with_zeros: Whether zeros are multiplied outside of the map.
    """

    name: str
    input_values: tuple[float, ...]
    weight_values: tuple[float, ...]
    pads_with_zeros: bool

    @property
    def is_binary(self) -> bool:
        """Whether both operands are -1 and +1 alone."""
        signs = {-1.0, 1.0}
        return signs.issuperset(self.input_values) and signs.issuperset(self.weight_values) and not self.pads_with_zeros

    def __str__(self) -> str:
        inputs, weights = (_listed(values) for values in (self.input_values, self.weight_values))
        padding = ", padded with zeros" if self.pads_with_zeros else ""
        return f"{self.name or 'a function'}: inputs {inputs}{padding}, weights {weights}"


MOST_VALUES = 5
"""Different values that are kept of an operand: more than two say that it is not binary."""


def convolution_operands(network: nn.Module, inputs: Tensor) -> tuple[ConvolutionOperands, ...]:
    """Return what every convolution multiplies as inputs pass through any network, in the order of computation.

    The network runs in the mode that it is in, training or evaluation; in training its running statistics follow.

    Args:
        network: Any module.
        inputs: A batch of inputs.
    """
    found: list[ConvolutionOperands] = []
    with torch.no_grad(), _named_calls(network) as names, _Watch(found, names):
        network(inputs)
    return tuple(found)


def require_binary_convolutions(network: nn.Module, inputs: Tensor) -> tuple[ConvolutionOperands, ...]:
    """Return what every convolution multiplies, all of it -1 and +1.

    Args:
        network: Any module.
        inputs: A batch of inputs.

    Raises:
        BitWidthError: A convolution multiplies other values, or there is none; the message names them.
    """
    found = convolution_operands(network, inputs)
    guilty = [str(operands) for operands in found if not operands.is_binary]
    if guilty or not found:
        listed = "; ".join(guilty) or "there is none"
        raise BitWidthError(f"convolutions of {type(network).__name__} that do not multiply signs with signs: {listed}")
    return found


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, found: list[ConvolutionOperands], names: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._found, self._names = found, names

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten.convolution.default:
            sizes = args[1].detach().flatten(1).abs().amax(dim=1).reshape(-1, *([1] * (args[1].dim() - 1)))
            self._found.append(
                ConvolutionOperands(
                    name=self._names[-1] if self._names else "",
                    input_values=_values(args[0]),
                    weight_values=_values(args[1].detach() / sizes),
                    pads_with_zeros=any(args[_PADDING]),
                )
            )
        return func(*args, **(kwargs or {}))


@contextmanager
def _named_calls(network: nn.Module) -> Iterator[list[str]]:
    """Yield the paths of the modules that are running, the innermost last."""
    running: list[str] = []

    def enter(name: str) -> Any:
        return lambda *_: running.append(name)

    def leave(*_: Any) -> None:
        running.pop()

    handles = []
    for name, module in network.named_modules():
        handles += [module.register_forward_pre_hook(enter(name)), module.register_forward_hook(leave)]
    try:
        yield running
    finally:
        for handle in handles:
            handle.remove()


def _values(operand: Tensor) -> tuple[float, ...]:
    return tuple(torch.unique(operand.detach())[:MOST_VALUES].tolist())


def _listed(values: tuple[float, ...]) -> str:
    shown = ", ".join(f"{value:g}" for value in values)
    return f"{shown}, ..." if len(values) == MOST_VALUES else shown
