"""The ``array:`` section of profiles: every registered model, with its parameters and its actions, and no other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitmixer.errors import DocumentError
from bitmixer.networks.checkpoint import find_checkpoint
from hwsim.config.packaged import find
from hwsim.config.profile import DeviceProfile, load_profile
from hwsim.cost.arrays import ARRAYS, LayerShapes, build
from hwsim.cost.energy import ACTIONS, DEVICE_ACTIONS
from hwsim.device import build_device

BISMO = {"rows": 8, "depth": 256, "columns": 8}


def example(kind: str) -> dict[str, Any]:
    """Return parameters of an array, none of which is its default."""
    defaults = {"rows": 4, "depth": 64, "columns": 5}
    return {
        field.name: defaults.get(field.name, 7)
        if field.default is dataclasses.MISSING
        else ("os" if field.default == "ws" else field.default * 2)
        for field in dataclasses.fields(ARRAYS[kind])
    }


def written(
    kind: str, tmp_path: Path, *, actions: tuple[str, ...] | None = None, changes: tuple[tuple[str, str], ...] = ()
) -> Path:
    """Write the packaged profile with another array, whose parameters are those of ``example``."""
    actions = ARRAYS[kind].actions if actions is None else actions
    text = find("profiles", "bismo_pynq_z1").read_text(encoding="utf-8")
    start, end = text.index("array:\n"), text.index("\nmemory:")
    units = {"interface_bits_per_cycle": ("interface", " bit/cycle")}
    lines = [f"array:\n  kind: {kind}\n"]
    for name, value in example(kind).items():
        key, unit = units.get(name, (name, ""))
        lines.append(
            f"  {key}: {value}\n" if isinstance(value, str) else f"  {key}: {{value: {value}{unit}, source: x}}\n"
        )
    text = text[:start] + "".join(lines) + text[end:]
    text = text.replace("source: *largest_build}\n      voltage", "source: x}\n      voltage")
    start, end = text.index("energy:\n") + len("energy:\n"), text.index("  vector_operation:\n    per")
    entries = (f"  {action}:\n    {{per: {action}, value: 1 pJ, source: x, heats: junction}}\n" for action in actions)
    text = text[:start] + "".join(entries) + text[end:]
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    path = tmp_path / "device.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(path: Path) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        load_profile(str(path))
    return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize("kind", ARRAYS)
def test_a_device_has_any_registered_array_with_the_profiles_parameters(kind: str, tmp_path: Path) -> None:
    device = build_device(load_profile(str(written(kind, tmp_path))))
    assert device.array == build(kind, **example(kind))
    costs = device.cost_table(find_checkpoint("resnet8_digits").graph, 1)
    assert set(costs.counts) == {*ARRAYS[kind].actions, *DEVICE_ACTIONS}


@pytest.mark.parametrize("kind", ARRAYS)
def test_an_array_counts_the_actions_that_it_declares(kind: str) -> None:
    layers = find_checkpoint("resnet8_digits").graph.layers
    shapes = LayerShapes.of(layers, inputs_per_frame=1, trailing_axes=2)
    for bits in range(1, 9):
        width = np.array([bits])
        assert set(build(kind, **example(kind)).action_counts(shapes, width[:, None], width)) == set(
            ARRAYS[kind].actions
        )
    assert set(ARRAYS[kind].actions) <= set(ACTIONS) - set(DEVICE_ACTIONS)


@pytest.mark.parametrize("kind", ARRAYS)
def test_every_parameter_must_be_given(kind: str, tmp_path: Path) -> None:
    name = next(iter(example(kind)))
    line = next(line for line in written(kind, tmp_path).read_text().splitlines() if line.startswith(f"  {name}: "))
    (problem,) = complaint(written(kind, tmp_path, changes=((line + "\n", ""),)))
    assert f"array.{name}: missing" in problem


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("kind: unpu", "kind: unpo", "9:9: array.kind: unknown value 'unpo': did you mean 'unpu'?"),
        ("  lanes: {", "  lane: {", "10:3: array.lane: unknown key 'lane': did you mean 'lanes'?"),
        ("value: 24, source: x", "value: 24", "10:10: array.lanes: a number without a source"),
        ("value: 24,", "value: 0,", "10:18: array.lanes.value: 0 is out of bounds"),
        ("value: 24,", "value: 10000000000,", "9:3: array: array unpu: lanes = 10000000000: expected a whole number"),
    ],
)
def test_a_wrong_array_is_placed_and_explained(tmp_path: Path, old: str, new: str, message: str) -> None:
    (problem,) = complaint(written("unpu", tmp_path, changes=((old, new),)))
    assert problem.startswith(message)


def test_words_are_checked_too(tmp_path: Path) -> None:
    (problem,) = complaint(written("systolic", tmp_path, changes=(("dataflow: os", "dataflow: is"),)))
    assert "array.dataflow: unknown value 'is': Known: os, ws" in problem


def test_an_action_that_the_array_never_counts_is_refused(tmp_path: Path) -> None:
    extra = (*ARRAYS["unpu"].actions, "mac_at_1_bit")
    (problem,) = complaint(written("unpu", tmp_path, actions=extra))
    assert "energy.mac_at_1_bit.per: an array of kind unpu never counts 'mac_at_1_bit': expected one of" in problem
    (problem,) = complaint(written("braintta", tmp_path, actions=("array_cycle", "mac_at_1_bit", "mac_at_8_bits")))
    assert "energy: no entry for the action 'mac_at_2_bits': add one" in problem


def test_the_schema_has_every_array_and_every_action(hwsim: Callable[..., Any]) -> None:
    schema = json.loads(hwsim("schema", "profile").out)
    kinds = schema["properties"]["array"]["discriminator"]["mapping"]
    assert set(kinds) == set(ARRAYS)
    assert set(schema["$defs"]["ActionEnergy"]["properties"]["per"]["enum"]) == set(ACTIONS)


def test_the_packaged_device_keeps_its_array() -> None:
    profile: DeviceProfile = load_profile("bismo_pynq_z1")
    assert profile.array.parameters() == BISMO
