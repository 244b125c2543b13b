"""The points of a sweep: what each sets the fields to."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwsim.config.sweep import Grid, Parameter, RandomSamples, Sweep


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """One setting of all fields that a sweep varies.

    Attributes:
        values: Dotted path -> value.
    """

    values: Mapping[str, Any]

    @property
    def sets(self) -> tuple[str, ...]:
        """The same as ``--set`` takes it."""
        return tuple(f"{path}={json.dumps(value)}" for path, value in self.values.items())


def points_of(parameters: Mapping[str, Parameter], method: Grid | RandomSamples) -> list[Point]:
    """Return the points of a method that needs no results, in its order, each once."""
    drawn = _grid(parameters) if isinstance(method, Grid) else _random(parameters, method)
    return list({point.sets: point for point in drawn}.values())


def checks(sweep: Sweep) -> Iterator[tuple[str, Any, Point]]:
    """Yield every value that must be allowed, with its path and a point that has it."""
    first = {path: parameter.extremes[0] for path, parameter in sweep.parameters.items()}
    if isinstance(sweep.method, RandomSamples):
        first = dict(points_of(sweep.parameters, sweep.method)[0].values)
    for path, parameter in sweep.parameters.items():
        for value in parameter.extremes:
            yield path, value, Point({**first, path: value})


def _grid(parameters: Mapping[str, Parameter]) -> Iterator[Point]:
    """Yield every value with every other; the last parameter changes fastest."""
    for values in itertools.product(*(parameter.on_grid for parameter in parameters.values())):
        yield Point(dict(zip(parameters, values, strict=True)))


def _random(parameters: Mapping[str, Parameter], method: RandomSamples) -> Iterator[Point]:
    """Yield independent draws; a draw hangs on the seed, its number and the path alone."""
    for number in range(method.samples):
        shares = {path: float(_generator(method.seed, number, path).random()) for path in parameters}
        yield Point({path: drawn(parameters[path], share) for path, share in shares.items()})


def drawn(parameter: Parameter, share: float) -> Any:
    """Return the value at a share from 0 to 1 of a range, or of a list, whose values have equal parts."""
    if parameter.values:
        return parameter.values[min(int(share * len(parameter.values)), len(parameter.values) - 1)]
    return parameter.at(share)


def _generator(seed: int, number: int, path: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, number, *path.encode()]))
