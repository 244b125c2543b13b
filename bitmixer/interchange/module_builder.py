"""Builds a ``torch.fx.GraphModule`` node by node, on the meta device: shapes at once, values on demand."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from bitmixer.errors import InterchangeError
from bitmixer.interchange.constants import Array
from bitmixer.interchange.values import Value

Source = Callable[[], Array]
"""Reads the values of a parameter or buffer."""


class ModuleBuilder:
    """A network under construction.

    Args:
        input_shape: Shape of the input, batch included.

    Attributes:
        input: The network's input.
        file_widths: Weight and activation bits that the file's quantisers give each layer with weights.
        stored_widths: Widths that they give to operands of additions.
    """

    def __init__(self, input_shape: tuple[int, ...]) -> None:
        self.file_widths: dict[str, tuple[int | None, int | None]] = {}
        self.stored_widths: set[int] = set()
        self._with_step: set[str] = set()
        self._graph = fx.Graph()
        self._modules: dict[str, nn.Module] = {}
        self._sources: dict[Tensor, Source] = {}
        self.input = Value(node=self._graph.placeholder("x"), tensor=torch.empty(input_shape, device="meta"))

    def module_of(self, value: Value) -> nn.Module | None:
        """Return the module that computes a value, if one does."""
        return self._modules.get(str(value.node.target)) if value.node.op == "call_module" else None

    def take_step(self, value: Value) -> bool:
        """Whether a multiplication gives the weight codes of the layer before it their value: its first one does."""
        target = str(value.node.target)
        weight_bits, _ = self.file_widths.get(target, (None, None))
        if weight_bits is None or target in self._with_step or not value.exclusive or value.scale != 1.0:
            return False
        self._with_step.add(target)
        return True

    def call_module(self, name: str, module: nn.Module, x: Value, sources: Mapping[str, Source] | None = None) -> Value:
        """Append a module and return its result, not yet multiplied with the operand's scale.

        Args:
            name: Path of the module in the network; changed where it is taken.
            module: The module, on the meta device.
            x: Its operand.
            sources: Where the values of its parameters and buffers come from, by their names.
        """
        target = self._free_name(name)
        self._modules[target] = module.eval()
        for part, source in (sources or {}).items():
            self._sources[getattr(module, part)] = source
        return Value(node=self._graph.call_module(target, (x.node,)), tensor=module(x.tensor))

    def call(self, function: Callable[..., Tensor], *arguments: Any, **keywords: Any) -> Value:
        """Append a function of values (and other arguments) and return its result."""
        nodes = fx.node.map_aggregate(arguments, lambda given: given.node if isinstance(given, Value) else given)
        tensors = fx.node.map_aggregate(arguments, lambda given: given.tensor if isinstance(given, Value) else given)
        node = self._graph.call_function(function, nodes, keywords)
        return Value(node=node, tensor=function(*tensors, **keywords))

    def unscaled(self, value: Value) -> Value:
        """Return a value with its multiplication written out."""
        return value if value.scale == 1.0 else self.call(operator.mul, value, value.scale)

    def adjust(self, tensor: Tensor, change: Callable[[Array], Array]) -> None:
        """Let a parameter or buffer that was appended be changed after it is read."""
        read = self._sources[tensor]
        self._sources[tensor] = lambda: change(read())

    def adopt(self, module: nn.Module, name: str, size: int, source: Source) -> None:
        """Give a module one more parameter, with ``size`` elements."""
        parameter = nn.Parameter(torch.empty(size, device="meta"))
        setattr(module, name, parameter)
        self._sources[parameter] = source

    def finish(self, result: Value) -> fx.GraphModule:
        """Return the network, in evaluation mode and still on the meta device."""
        self._graph.output(self.unscaled(result).node)
        module = fx.GraphModule(self._modules, self._graph, "OnnxNetwork").eval()
        module.graph.lint()
        return module

    def load(self, network: nn.Module) -> None:
        """Read the values of all parameters and buffers of a finished network.

        Raises:
            InterchangeError: They cannot be read, or do not fit.
        """
        for path, module in network.named_modules():
            for name, tensor in [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]:
                try:
                    loaded = self._loaded(tensor)
                except (TypeError, ValueError, MemoryError) as error:
                    raise InterchangeError(
                        f"layer {path!r}: its {name} does not fit: {error}; expected shape {tuple(tensor.shape)}"
                    ) from None
                setattr(module, name, nn.Parameter(loaded) if isinstance(tensor, nn.Parameter) else loaded)

    def _loaded(self, tensor: Tensor) -> Tensor:
        if tensor not in self._sources:  # a batch-norm's count of batches
            return torch.zeros(tensor.shape, dtype=tensor.dtype)
        with np.errstate(all="ignore"):
            values = np.array(self._sources[tensor](), dtype=np.float32, order="C").reshape(tensor.shape)
        if not np.isfinite(values).all():
            raise ValueError("it holds NaN or infinity")
        return torch.from_numpy(values)

    def _free_name(self, name: str) -> str:
        """Return a path that no module has, and that leads through none and to none."""
        wanted = ".".join(part for part in name.replace("/", ".").split(".") if part) or "layer"
        if not any(
            f"{taken}.".startswith(f"{wanted}.") or f"{wanted}.".startswith(f"{taken}.") for taken in self._modules
        ):
            return wanted
        flat, count = wanted.replace(".", "_"), 1
        while flat in self._modules:
            flat, count = f"{wanted.replace('.', '_')}_{count}", count + 1
        return flat


def scaled(value: Value, factor: float) -> Value:
    """Return a value that is still to be multiplied with one more positive number."""
    scale = value.scale * factor
    return dataclasses.replace(value, scale=1.0 if abs(scale - 1.0) < 1e-6 else scale)  # x / step * step is x
