"""Array models, one file each, and the registry that builds them by name."""

from __future__ import annotations

import dataclasses
from typing import Any

from bitmixer.errors import did_you_mean
from hwsim.cost.arrays.base import ArrayModel, LayerShapes
from hwsim.cost.arrays.bismo import Bismo
from hwsim.errors import ConfigurationError

__all__ = ["ARRAYS", "ArrayModel", "Bismo", "LayerShapes", "build"]

ARRAYS: dict[str, type[Any]] = {model.name: model for model in (Bismo,)}
"""Name -> frozen dataclass whose fields are the array's parameters; each is an ``ArrayModel``."""


def build(name: str, **parameters: object) -> ArrayModel:
    """Return the array model ``name`` with its ``parameters``.

    Raises:
        ConfigurationError: The name or a parameter is unknown, or a parameter is missing or invalid.
    """
    if name not in ARRAYS:
        raise ConfigurationError(f"array {name!r} does not exist: {did_you_mean(name, ARRAYS)}")
    fields = {field.name: field for field in dataclasses.fields(ARRAYS[name])}
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
