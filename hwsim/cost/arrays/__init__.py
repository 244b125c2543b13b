"""Array models, one file each, and the registry that builds them by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

from bitmixer.errors import did_you_mean
from hwsim.cost.arrays.base import ArrayModel, LayerShapes
from hwsim.cost.arrays.bismo import Bismo
from hwsim.cost.arrays.bitfusion import BitFusion
from hwsim.cost.arrays.braintta import BrainTta
from hwsim.cost.arrays.loom import Loom
from hwsim.cost.arrays.schedule import Schedule, SchedulingArray
from hwsim.cost.arrays.stripes import Stripes
from hwsim.cost.arrays.systolic import Systolic
from hwsim.cost.arrays.unpu import Unpu
from hwsim.cost.arrays.valued import BitVert, BitWave, Pragmatic, ValueArray
from hwsim.cost.arrays.valued import Loom as LoomOfValues
from hwsim.errors import ConfigurationError

__all__ = [
    "ARRAYS",
    "VALUE_ARRAYS",
    "ArrayModel",
    "Bismo",
    "BitFusion",
    "BrainTta",
    "LayerShapes",
    "Loom",
    "Schedule",
    "SchedulingArray",
    "Stripes",
    "Systolic",
    "Unpu",
    "ValueArray",
    "build",
    "parse_parameters",
]

VALUE_ARRAYS: dict[str, type[Any]] = {model.name: model for model in (BitVert, BitWave, LoomOfValues, Pragmatic)}
"""Those whose cycles depend on values; each is a ``ValueArray``."""

ARRAYS: dict[str, type[Any]] = {
    model.name: model for model in (Bismo, BitFusion, BrainTta, Loom, Stripes, Systolic, Unpu)
}
ARRAYS |= VALUE_ARRAYS
"""Name -> frozen dataclass whose fields are the array's parameters; each is an ``ArrayModel``."""


def build(name: str, **parameters: object) -> ArrayModel:
    """Return the array model ``name`` with its ``parameters``.

    Raises:
        ConfigurationError: The name or a parameter is unknown, or a parameter is missing or invalid.
    """
    fields = _fields(name)
    for parameter in parameters:
        if parameter not in fields:
            hint = did_you_mean(parameter, fields)
            raise ConfigurationError(f"array {name} has no parameter {parameter!r}: {hint}")
    missing = [
        field.name for field in fields.values() if field.default is dataclasses.MISSING and field.name not in parameters
    ]
    if missing:
        raise ConfigurationError(f"array {name}: missing {', '.join(missing)}; give each, as in {missing[0]}=8")
    model: ArrayModel = ARRAYS[name](**parameters)
    return model


def parse_parameters(name: str, settings: Iterable[str]) -> dict[str, object]:
    """Return the parameters of the array ``name`` that ``settings``, each ``parameter=value``, write as text.

    Raises:
        ConfigurationError: The array does not exist, or a setting is not of this form.
    """
    fields = _fields(name)
    parameters: dict[str, object] = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        worded = key in fields and fields[key].type != "int"
        if not value or not (worded or (value.isascii() and value.isdecimal() and len(value) < 19)):
            expected = (
                "PARAMETER=WORD" if worded else "PARAMETER=WHOLE NUMBER of at most 18 digits, for example rows=16"
            )
            raise ConfigurationError(f"--set {setting}: expected {expected}")
        parameters[key] = value if worded else int(value)
    return parameters


def _fields(name: str) -> dict[str, dataclasses.Field[Any]]:
    if name not in ARRAYS:
        raise ConfigurationError(f"array {name!r} does not exist: {did_you_mean(name, ARRAYS)}")
    return {field.name: field for field in dataclasses.fields(ARRAYS[name])}
