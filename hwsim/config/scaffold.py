"""A device profile to fill in: every field with what it means, its unit, and where one finds the number."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from bitmixer.documents import Section, key_of
from bitmixer.documents.source import written
from bitmixer.errors import did_you_mean
from bitmixer.output_files import make_folder
from hwsim.config.explanations import explanations, summary
from hwsim.config.extending import read_extended
from hwsim.config.packaged import find
from hwsim.config.profile import DeviceProfile
from hwsim.config.quantity import Quantity
from hwsim.cost.arrays import ARRAYS
from hwsim.cost.energy import ACTIONS, DEVICE_ACTIONS
from hwsim.errors import ConfigurationError

_WIDTH = 116
_HEAD = """\
# A device profile; check it with: hwsim validate {name}.yaml
# Every number has value: and source:, where it was published or measured; or else value:, assumption: (why) and
# range: [low, high]. What is not filled in is refused, and named. What is optional stands behind comment signs.
"""
_HEATED = {"heats": "die"}
_OPTIONAL: Mapping[str, Any] = {
    "idle_states": {"sleep": {"power": {"idle": {}}, "heats": "die"}},
    "process_node": {},
    "buffers": {},
    "execution": {"overlap": "ideal", "requantise": "on_drain"},
    "battery": {},
    "power": {},
    "memory_bandwidth": {},
    "restart": {},
}
"""What a scaffold shows, behind comment signs, of what a device may have."""


def scaffold(name: str, *, array: str = "bismo", based_on: str | None = None) -> str:
    """Return the text of a device profile in which numbers are missing, or those of another device stand.

    Args:
        name: The profile's.
        array: Kind of the array, whose parameters and actions it then asks for.
        based_on: A device profile, by its packaged name or path, whose structure, numbers and sources are taken.

    Raises:
        ConfigurationError: There is no such array or profile.
    """
    if array not in ARRAYS:
        raise ConfigurationError(f"array {array!r} does not exist: {did_you_mean(array, ARRAYS)}")
    data = _outline(array) if based_on is None else read_extended(find("profiles", based_on)).data
    data = {**data, "schema_version": 1, "name": name}
    lines = [_HEAD.format(name=name), *_section(DeviceProfile, data, top=True)]
    return "\n".join(lines) + "\n"


def _outline(array: str) -> dict[str, Any]:
    """Return the parts of a device with a die and a board, without numbers."""
    actions = dict.fromkeys((*ARRAYS[array].actions, *DEVICE_ACTIONS))
    return {
        "description": "",
        "array": {"kind": array},
        "energy": {action: {"per": action, **_HEATED} for action in actions},
        "power": {"idle": {"heats": "board"}},
        "leakage": _HEATED,
        "operating_points": {"transition_energy": _HEATED, "points": [{}]},
        "thermal": {
            "nodes": {"die": {}, "board": {}},
            "links": [{"between": ["die", "board"]}, {"between": ["board", "ambient"]}],
            "sensor_node": "die",
        },
        "throttling": {"kind": "bang_bang", "trips": [{}]},
        "sensors": {"die_temperature": {}},
        "decision": _HEATED,
    }


def _section(model: type[Section], data: Mapping[str, Any], *, top: bool = False) -> Iterator[str]:
    """Yield the lines of a section: what is required or given, then what else there could be."""
    told = explanations(model)
    left_out = []
    for name, field in model.model_fields.items():
        key = field.alias or key_of(name)
        if not field.is_required() and not data.get(key):
            left_out.append((key, field, told.get(name, "")))
            continue
        yield from _field(key, field.annotation, data.get(key, {}), told.get(name, ""))
        if top:
            yield ""
    for key, field, text in left_out:
        if key in _OPTIONAL:
            yield from _behind_signs(_field(key, field.annotation, _OPTIONAL[key], f"Optional. {text}"))
            if top:
                yield ""


def _field(key: str, kind: Any, data: Any, text: str) -> Iterator[str]:
    sections = tuple(_sections(kind))
    if get_origin(kind) is Literal and len(get_args(kind)) > 1:
        text = f"{text} One of: {', '.join(map(str, get_args(kind)))}."
    yield from _comment(text)
    if data == {} and not sections:
        yield f"{key}:"
    elif not sections or (isinstance(data, str | int | float) and not isinstance(data, bool)):
        yield from written({key: data}).splitlines()
    elif get_origin(kind) is tuple:
        yield f"{key}:" if data else f"{key}: []"
        for item in data:
            first, *others = _value(_chosen(sections, item), item)
            yield from (f"  - {first}", *(f"    {line}" if line else "" for line in others))
    elif _is_mapping(kind):
        yield f"{key}:"
        for name, item in data.items():
            if "per" in item:
                yield from _deeper(_comment(f"For {ACTIONS[item['per']]}."))
            yield f"  {name}:"
            yield from _deeper(_value(_chosen(sections, item), item), by=4)
    else:
        yield f"{key}:"
        model = _chosen(sections, data)
        if len(sections) > 1:
            kinds = [get_args(each.model_fields["kind"].annotation)[0] for each in sections]
            yield from _deeper(_comment(f"{' '.join(summary(model).split())} Kinds: {', '.join(kinds)}."))
        yield from _deeper(_value(model, data))


def _value(model: type[Section], data: Mapping[str, Any]) -> Iterator[str]:
    if not issubclass(model, Quantity):
        yield from _section(model, data)
        return
    own = {key: value for key, value in data.items() if key in Quantity.model_fields}
    others = {key: value for key, value in data.items() if key not in own}
    if "value" in own:
        yield from written(own).splitlines()
    else:
        yield f"value:  # {model.form()}"
        yield "source:"
    if others:
        yield from written(others).splitlines()


def _sections(kind: Any) -> Iterator[type[Section]]:
    """Yield the sections that a field's type allows."""
    if isinstance(kind, type) and issubclass(kind, Section):
        yield kind
        return
    for part in get_args(kind):
        yield from _sections(part)


def _chosen(sections: tuple[type[Section], ...], data: Mapping[str, Any]) -> type[Section]:
    """Return the section that the data's ``kind`` names, where there are several."""
    for each in sections:
        if len(sections) == 1 or data["kind"] in get_args(each.model_fields["kind"].annotation):
            return each
    raise AssertionError(f"no section of kind {data['kind']}")  # whoever reads profiles has refused it


def _is_mapping(kind: Any) -> bool:
    return get_origin(kind) is not None and isinstance(get_origin(kind), type) and issubclass(get_origin(kind), Mapping)


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH - 2)]


def _deeper(lines: Iterator[str] | list[str], by: int = 2) -> Iterator[str]:
    return (" " * by + line if line else "" for line in lines)


def _behind_signs(lines: Iterator[str]) -> Iterator[str]:
    """Yield lines as comments; those that are comments already stay as they are."""
    return (line if line.startswith("#") else f"#{line}" for line in lines)


def write_new(path: Path, text: str) -> None:
    """Write a profile where there is none, and make its folder.

    Raises:
        ConfigurationError: Something is there, or the file cannot be written.
        OutputError: The folder cannot be made.
    """
    make_folder(path.parent)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigurationError(f"{path}: is there already: choose another name, or another file with --out") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from None
