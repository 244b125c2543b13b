"""The ``array:`` section of profiles: one form per registered array model, made from the model's own parameters."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterator
from functools import reduce
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from pydantic import Field, create_model

from bitmixer.documents.section import Problem, Section
from hwsim.config.explanations import attribute_texts
from hwsim.config.quantity import BitsPerCycle, Count, PositiveCount, Quantity
from hwsim.cost import arrays
from hwsim.cost.arrays import ARRAYS, ArrayModel
from hwsim.errors import ConfigurationError


class ArraySection(Section):
    """An array model and its parameters, all of which must be given.

    Attributes:
        kind: Name of the model; the other keys are its parameters, numbers as quantities and words as they are.
    """

    kind: str

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions that this array counts."""
        actions: tuple[str, ...] = ARRAYS[self.kind].actions
        return actions

    def parameters(self) -> dict[str, int | str]:
        """Return the model's parameters by name."""
        given = {name: getattr(self, name) for name in type(self).model_fields if name != "kind"}
        return {name: value.value if isinstance(value, Quantity) else value for name, value in given.items()}

    def build(self) -> ArrayModel:
        """Return the array model with these parameters."""
        return arrays.build(self.kind, **self.parameters())

    def contradictions(self) -> Iterator[Problem]:
        """Yield what the model itself refuses."""
        try:
            self.build()
        except ConfigurationError as error:
            yield Problem((), str(error))


def array_section(model: type[Any]) -> type[ArraySection]:
    """Return the section of an array model, a frozen dataclass: one key per field, so that the two cannot differ.

    Whole numbers become quantities: bits per cycle where the field's name says so, else numbers from 1, or from 0
    where the field's metadata have ``{"minimum": 0}``. Other fields keep their type.
    """
    hints = get_type_hints(model)
    texts = attribute_texts(model)
    fields = {
        field.name: (_form(field, hints[field.name]), Field(description=texts.get(field.name)))
        for field in dataclasses.fields(model)
    }
    kind: Any = Literal[model.name]
    section: type[ArraySection] = create_model(
        f"{model.__name__}Array",
        __base__=ArraySection,
        __doc__=model.__doc__,
        kind=(kind, ...),
        **fields,  # type: ignore[call-overload]
    )
    return section


def _form(field: dataclasses.Field[Any], hint: Any) -> Any:
    if hint is not int:
        return hint
    if field.name.endswith("_bits_per_cycle"):
        return Quantity[BitsPerCycle]
    return Quantity[Count] if field.metadata.get("minimum") == 0 else Quantity[PositiveCount]


if TYPE_CHECKING:
    AnyArray = ArraySection
else:
    AnyArray = Annotated[reduce(operator.or_, map(array_section, ARRAYS.values())), Field(discriminator="kind")]
    """The section of any registered array; its ``kind`` says which."""
