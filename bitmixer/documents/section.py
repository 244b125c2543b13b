"""The building block of scenarios and profiles: a mapping whose wrong keys and values are explained."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Protocol, Self, get_args, get_origin, runtime_checkable

from pydantic import (
    AliasGenerator,
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    StringConstraints,
    ValidationError,
    model_validator,
)

from bitmixer.errors import did_you_mean

KeyPath = tuple[str | int, ...]
"""Way from the top of a document to a value: keys of mappings, positions in lists."""

Text = Annotated[str, StringConstraints(min_length=1)]

_UNIT_SUFFIX = re.compile(
    "_(?:picoseconds|hertz|volts|joules|watts|celsius|nanometres|kelvin_per_watt|joules_per_kelvin|per_kelvin|kelvin"
    "|coulombs|per_second|bits_per_second|bits_per_cycle|elements_per_cycle)$"
)
_EXPECTED = {
    "string_type": "a text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "union_tag_not_found": "a mapping with a key 'kind'",
    "model_attributes_type": "a mapping with a key 'kind'",
}
_CONTAINERS = {tuple: "a list", Mapping: "a mapping"}


def key_of(field: str) -> str:
    """Return the key that a file uses for a field: ``duration_picoseconds`` is written ``duration: 60 s``."""
    return _UNIT_SUFFIX.sub("", field)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, seen from a section, and a sentence about it.

    Attributes:
        path: From the section that reports it to the value.
        sentence: What is wrong, what was expected and how to mend it.
        about_key: Whether the key itself is wrong, rather than its value.
        is_missing: Whether the last element of ``path`` does not exist.
    """

    path: KeyPath
    sentence: str
    about_key: bool = False
    is_missing: bool = False


class SectionError(ValueError):
    """Carries the problems of one section through pydantic."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.sentence for problem in self.problems))


@runtime_checkable
class Described(Protocol):
    """Part of a field's type that can say what to write there."""

    def expectation(self) -> str:
        """Return what must be written where the value is missing."""
        ...


class Section(BaseModel):
    """A mapping of a document, with known keys.

    A field's name ends in its unit where it has one; its key in a file does not, as the value names it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=AliasGenerator(alias=key_of))

    def contradictions(self) -> Iterator[Problem]:
        """Yield what is wrong between values that are right by themselves."""
        return iter(())

    def keep_text(self, given: Mapping[str, object]) -> None:
        """Take notice of what the file wrote; most sections need none of it."""

    @classmethod
    def expectation(cls) -> str:
        """Return what must be written where such a mapping is missing."""
        return f"expected a mapping with the keys {', '.join(_required(cls) or _keys(cls))}"

    @classmethod
    def not_a_mapping(cls, given: object) -> str:
        """Return the sentence for a value that is no mapping."""
        return f"{cls.expectation()}; got {shown(given)}"

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, given: object, build: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            raise SectionError([Problem((), cls.not_a_mapping(given))])
        keys = _keys(cls)
        problems = list(_key_problems(cls, given))
        try:
            section = build({key: value for key, value in given.items() if key in keys})
        except ValidationError as error:
            problems += (problem for problem in problems_of(error) if not _repeats(problem))
        if not problems:
            section.keep_text(given)
            problems = list(section.contradictions())
        if problems:
            raise SectionError(problems)
        return section


def problems_of(error: ValidationError) -> Iterator[Problem]:
    """Yield the problems in a validation error, each with its full path, in which union tags still stand."""
    for detail in error.errors(include_url=False):
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, SectionError):
            for problem in cause.problems:
                yield replace(problem, path=(*detail["loc"], *problem.path))
        else:
            yield _problem(detail)


def _problem(detail: Any) -> Problem:
    path, given, context = detail["loc"], detail["input"], detail.get("ctx", {})
    tag = context.get("discriminator", "").strip("'")
    match detail["type"]:
        case "missing":
            return Problem(path, "missing", is_missing=True)
        case "union_tag_invalid":
            return Problem((*path, tag), _unknown_choice(context["tag"], context["expected_tags"]))
        case "union_tag_not_found" if isinstance(given, Mapping):
            return Problem((*path, tag), "missing: the other keys depend on it", is_missing=True)
        case kind:
            return Problem(path, _sentence(kind, given, context, detail["msg"]))


def _sentence(kind: str, given: object, context: Mapping[str, Any], message: str) -> str:
    if kind in _EXPECTED:
        sentence = f"expected {_EXPECTED[kind]}; got {shown(given)}"
    elif kind == "value_error":
        sentence = str(context["error"])
    elif kind == "literal_error":
        sentence = _unknown_choice(given, context["expected"])
    elif kind == "string_too_short":
        sentence = "is empty: write a text"
    elif kind == "too_long":
        sentence = f"expected a list of {context['max_length']}; got {shown(given)}"
    else:
        sentence = f"{message}; got {shown(given)}"
    return sentence


def _unknown_choice(given: object, expected: str) -> str:
    choices = re.findall(r"'([^']*)'", expected)
    if not choices:
        return f"expected {expected}; got {shown(given)}"
    if not isinstance(given, str):
        return f"expected one of {', '.join(choices)}; got {shown(given)}"
    return f"unknown value {given!r}: {did_you_mean(given, choices)}"


def _keys(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items())


def _required(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items() if field.is_required())


def _key_problems(model: type[Section], given: Mapping[str, object]) -> Iterator[Problem]:
    """Yield unknown and missing keys; an unknown key that looks like a missing one is that key, mistyped."""
    keys = _keys(model)
    missing = [key for key in _required(model) if key not in given]
    for key in given:
        if key in keys:
            continue
        nearest = difflib.get_close_matches(key, sorted(keys), n=1, cutoff=0.5)
        missing = [known for known in missing if known not in nearest]
        yield Problem((key,), f"unknown key {key!r}: {did_you_mean(key, keys)}", about_key=True)
    for key in missing:
        yield Problem((key,), _missing(model, key), is_missing=True)


def _missing(model: type[Section], key: str) -> str:
    field = next(field for name, field in model.model_fields.items() if key == (field.alias or name))
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
        return f"missing: {field.annotation.expectation()}"
    if get_origin(field.annotation) is Literal:
        return f"missing: expected {' or '.join(map(str, get_args(field.annotation)))}"
    if (form := get_origin(field.annotation)) in _CONTAINERS:
        return f"missing: expected {_CONTAINERS[form]}"
    described = [part.expectation() for part in field.metadata if isinstance(part, Described)]
    return f"missing: {described[0] if described else 'add it'}"


def _repeats(problem: Problem) -> bool:
    """Whether pydantic reports a missing key of this section, which is explained already."""
    return problem.is_missing and len(problem.path) == 1


def shown(given: object) -> str:
    """Return a short description of a value of a document."""
    match given:
        case None:
            return "nothing"
        case bool():
            return str(given).lower()
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return f"a list of {len(given)}"
        case _:
            return repr(given)
