"""A module in normal form as plain data, and back: what lets a network of one's own be loaded without its code.

A description names operations and layers of ``bitmixer.vocabulary`` and nothing else, so that building from one that
somebody else wrote runs no code but theirs. It holds no weights: those are the checkpoint's.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from bitmixer import vocabulary
from bitmixer.adoption import FunctionalNorm
from bitmixer.errors import CheckpointError, did_you_mean
from bitmixer.layers import ExactReduction, Site, StochasticDepth, StoredTensor, TransitionalNorm
from bitmixer.padded_pools import PaddedAvgPool2d, PaddedMaxPool2d

_OURS = (Site, StoredTensor, TransitionalNorm, ExactReduction, StochasticDepth)
"""What conversion makes, and what drops layers in training by a function of another package."""
_LAYERS: Mapping[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (*vocabulary.LEAVES, FunctionalNorm, PaddedAvgPool2d, PaddedMaxPool2d)
    if not issubclass(kind, _OURS)
}
_NAMESPACES = {"torch": torch, "functional": F, "operator": operator, "bitmixer": vocabulary}
_SHAPE = "shape"
"""The one attribute that is read."""


class DescribedModule(fx.GraphModule):
    """A network in normal form that was built from its description."""


def describe(module: fx.GraphModule) -> dict[str, Any]:
    """Return a module in normal form as JSON can hold it, without the values of its parameters.

    What a description has no word for is named in it, and :func:`build` refuses it.
    """
    nodes = [
        {
            "name": node.name, "op": node.op, "target": _target_name(node), "args": _plain(node.args),
            "kwargs": {key: _plain(value) for key, value in node.kwargs.items()},
        }
        for node in module.graph.nodes
    ]  # fmt: skip
    called = {str(node.target) for node in module.graph.nodes if node.op == "call_module"}
    constants = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    return {
        "nodes": nodes,
        "layers": {path: _layer(module.get_submodule(path)) for path in sorted(called)},
        "constants": {path: _constant(operator.attrgetter(path)(module)) for path in sorted(constants)},
    }


def build(description: Mapping[str, Any]) -> DescribedModule:
    """Return the module of a description, with parameters that have no values yet.

    Raises:
        CheckpointError: It names something that is not of ``bitmixer.vocabulary``, or is damaged.
    """
    try:
        parts: dict[str, Any] = {path: _build_layer(path, layer) for path, layer in description["layers"].items()}
        parts |= {path: _build_constant(constant) for path, constant in description["constants"].items()}
        graph = fx.Graph()
        built: dict[str, fx.Node] = {}
        for node in description["nodes"]:
            built[node["name"]] = _build_node(graph, node, built)
        module = DescribedModule(parts, graph)
        module.graph.lint()
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"not the description of a network: {type(error).__name__}: {error}") from None
    return module


@cache
def _functions() -> dict[str, Callable[..., Any]]:
    """Return every function of the vocabulary by a name that says where it lives."""
    found: dict[str, Callable[..., Any]] = {"builtins.getattr": getattr, "functional.interpolate": F.interpolate}
    for function in (target for target in _targets() if callable(target)):
        name = function.__name__
        space = next(key for key, space in _NAMESPACES.items() if getattr(space, name, None) is function)
        found[f"{space}.{name}"] = function
    return found


@cache
def _methods() -> frozenset[str]:
    return frozenset(target for target in _targets() if isinstance(target, str))


def _targets() -> Iterator[Any]:
    """Yield every function and every name of a method that the vocabulary lists."""
    for name, table in vars(vocabulary).items():
        if name.endswith(("_FUNCTIONS", "ARITHMETIC")) or name in ("JOINS", "DIVISIONS", "CLAMPS", "SIZE_SOURCES"):
            yield from table


def _target_name(node: fx.Node) -> str:
    if isinstance(node.target, str):
        return node.target
    names = {function: name for name, function in _functions().items()}
    return names.get(node.target, repr(node.target))


def _plain(value: Any) -> Any:
    """Return an argument as JSON holds it; what has no form is told by its type, and refused when it is built."""
    match value:
        case fx.Node():
            return {"node": value.name}
        case tuple():
            return {"tuple": [_plain(item) for item in value]}
        case list():
            return [_plain(item) for item in value]
        case slice():
            return {"slice": [_plain(value.start), _plain(value.stop), _plain(value.step)]}
        case None | bool() | int() | float() | str():
            return value
    return {"ellipsis": None} if value is Ellipsis else {"unknown": repr(value)}


def _value(value: Any, built: Mapping[str, fx.Node]) -> Any:
    match value:
        case {"node": str(name)}:
            return built[name]
        case {"tuple": list(items)}:
            return tuple(_value(item, built) for item in items)
        case {"slice": [start, stop, step]}:
            return slice(_value(start, built), _value(stop, built), _value(step, built))
        case {"ellipsis": None}:
            return Ellipsis
        case list():
            return [_value(item, built) for item in value]
        case None | bool() | int() | float() | str():
            return value
    raise CheckpointError(f"argument {value!r}: cannot be kept in a file; write the network without it")


def _build_node(graph: fx.Graph, node: Mapping[str, Any], built: Mapping[str, fx.Node]) -> fx.Node:
    """Append an operation; what becomes code in the generated forward pass is checked to be a name."""
    kind, target = node["op"], node["target"]
    args, kwargs = _value(node["args"], built), {key: _value(value, built) for key, value in node["kwargs"].items()}
    callee: Any = target
    if kind == "call_function":
        callee = _known(target, _functions())
        if callee is getattr and args[1:] != (_SHAPE,):
            raise CheckpointError(f"operation {node['name']!r}: reads the attribute {args[1:]}; only its shape is read")
        if callee is vocabulary.part:
            _known(args[0], {name: name for name in _methods()})
    elif kind == "call_method":
        callee = _known(target, {name: name for name in _methods()})
    elif kind not in ("placeholder", "get_attr", "call_module", "output"):
        raise CheckpointError(f"operation {node['name']!r}: unknown kind {kind!r}")
    words = (node["name"], *kwargs, *(() if kind == "call_function" else target.split(".")))
    for word in words:
        if not (word.isidentifier() or word.isdigit()):
            raise CheckpointError(f"operation {node['name']!r}: {word!r} is no name")
    return graph.create_node(kind, callee, args, kwargs, name=node["name"])


def _known(name: str, table: Mapping[str, Any]) -> Any:
    if name not in table:
        raise CheckpointError(f"operation {name!r} is none that is understood: {did_you_mean(name, table)}")
    return table[name]


def _layer(module: nn.Module) -> dict[str, Any]:
    """Return a layer's kind and the options of its constructor, which it has as attributes."""
    kind = type(module)
    options = {name: getattr(module, name) for name in _parameters(kind) if hasattr(module, name)}
    if "bias" in options and not isinstance(options["bias"], bool):
        options["bias"] = options["bias"] is not None
    return {"kind": kind.__name__, "options": {name: _plain(value) for name, value in options.items()}}


def _parameters(kind: type[nn.Module]) -> Iterator[str]:
    """Yield the names of a constructor's parameters, those that it passes on included."""
    for each in kind.__mro__:
        given = inspect.signature(each).parameters.values()
        yield from (parameter.name for parameter in given if parameter.kind in _NAMED)
        if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in given):
            return


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def _build_layer(path: str, layer: Mapping[str, Any]) -> nn.Module:
    if layer["kind"] not in _LAYERS:
        raise CheckpointError(
            f"layer {path!r} is a {layer['kind']}, which cannot be built again from a file: "
            f"{did_you_mean(layer['kind'], _LAYERS)}; or write it as a module of torch.nn"
        )
    return _LAYERS[layer["kind"]](**{name: _value(value, {}) for name, value in layer["options"].items()})


def _constant(value: Tensor) -> dict[str, Any]:
    learned = isinstance(value, nn.Parameter)
    return {"shape": list(value.shape), "type": str(value.dtype).removeprefix("torch."), "learned": learned}


def _build_constant(constant: Mapping[str, Any]) -> Tensor:
    kind = getattr(torch, constant["type"])
    if not isinstance(kind, torch.dtype):
        raise CheckpointError(f"a constant of type {constant['type']!r}: no type of numbers")
    value = torch.zeros(constant["shape"], dtype=kind)
    return nn.Parameter(value) if constant["learned"] else value
