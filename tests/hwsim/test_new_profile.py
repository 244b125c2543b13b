"""Profiles to fill in: every field is explained, what is missing is named, and what is filled in is valid."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from hwsim.config.explanations import explanations
from hwsim.config.packaged import packaged_names
from hwsim.config.profile import DeviceProfile, load_profile
from hwsim.config.quantity import Quantity, quantities
from hwsim.config.scaffold import scaffold
from hwsim.cost.arrays import ARRAYS

Command = Callable[..., Any]
BLANK = re.compile(r"value:  # (?:.*for example (?P<example>.+)|a number from (?P<least>\d+) to \d+)$", re.MULTILINE)


def filled(text: str) -> str:
    """Return a scaffold with an example in each blank, and with what must differ made different."""
    text = BLANK.sub(lambda found: f"value: {found['example'] or found['least']}", text)
    text = re.sub(r"source:$", "source: the datasheet", text, flags=re.MULTILINE)
    for key, value in {"resume": "20 degC", "shutdown_temperature": "60 degC", "available_share": "0.5"}.items():
        text = re.sub(rf"({key}:\n *value: ).+", rf"\g<1>{value}", text)
    text = re.sub(r"dataflow:$", "dataflow: ws", text, flags=re.MULTILINE)
    return re.sub(r"(cut_off:\n *value: ).+", r"\g<1>0.1", text)


def with_options(text: str) -> str:
    """Return a scaffold whose optional parts stand no longer behind comment signs."""
    return re.sub(r"^( *)#(?! \S)", r"\1", text, flags=re.MULTILINE)


def sections(kind: Any) -> Iterator[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind
    else:
        for part in get_args(kind):
            yield from sections(part)


def below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for each in sections(field.annotation):
            yield from below(each)


def test_every_field_of_a_device_is_explained() -> None:
    missing = {
        f"{model.__name__}.{name}"
        for model in below(DeviceProfile)
        for name in model.model_fields.keys() - explanations(model).keys() - {"kind"}
    }
    assert missing == set()


def test_what_is_not_filled_in_is_named_with_its_unit(hwsim: Command, tmp_path: Path) -> None:
    path = tmp_path / "board.yaml"
    made = hwsim("profiles", "new", "board", "--out", path)
    assert made.code == 0
    assert f"hwsim validate {path}" in made.out
    text = path.read_text(encoding="utf-8")
    refused = hwsim("validate", path)
    assert refused.code == 2
    problems = refused.err.removeprefix("error: ").splitlines()
    assert len(problems) == len(BLANK.findall(text)) - len(re.findall(r"^ *#.*value:  #", text, re.MULTILINE)) > 30
    lines = text.splitlines()
    for problem in problems:
        line, message = int(problem.split(":")[1]), problem.split(": ", 1)[1]
        assert lines[line - 1].strip().startswith("value:")
        assert "is not filled in: expected" in message
    assert (
        "memory.dram_peak_bandwidth.value: is not filled in: expected a data rate, for example 2.1 GB/s" in refused.err
    )


@pytest.mark.parametrize("array", ARRAYS)
def test_what_is_filled_in_is_valid(array: str, tmp_path: Path) -> None:
    path = tmp_path / "board.yaml"
    path.write_text(filled(scaffold("board", array=array)), encoding="utf-8")
    profile = load_profile(str(path))
    assert (profile.name, profile.array.kind) == ("board", array)
    assert profile.array.build() is not None
    assert {number.source for _, number in quantities(profile)} == {"the datasheet"}


def test_optional_parts_are_valid_too(tmp_path: Path) -> None:
    path = tmp_path / "board.yaml"
    path.write_text(filled(with_options(scaffold("board"))), encoding="utf-8")
    profile = load_profile(str(path))
    assert profile.battery is not None
    assert profile.buffers is not None
    assert profile.sensors.power is not None
    assert profile.limits.restart is not None
    assert list(profile.idle_states) == ["sleep"]


@pytest.mark.parametrize("device", packaged_names("profiles"))
def test_a_profile_made_from_another_says_the_same(device: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(scaffold("mine", based_on=device), encoding="utf-8")
    mine, theirs = load_profile(str(path)), load_profile(device)
    assert mine.name == "mine"
    assert mine.model_dump(exclude={"name"}) == theirs.model_dump(exclude={"name"})
    assert [number.text for number in numbers(mine)] == [number.text for number in numbers(theirs)]


def numbers(profile: DeviceProfile) -> list[Quantity[Any]]:
    return [*profile.energy.values(), *profile.power.values()]


def test_nothing_is_overwritten_and_wrong_names_are_answered(hwsim: Command, tmp_path: Path) -> None:
    path = tmp_path / "board.yaml"
    path.write_text("mine", encoding="utf-8")
    hwsim("profiles", "new", "board", "--out", path).refused("is there already")
    assert path.read_text(encoding="utf-8") == "mine"
    hwsim("profiles", "new", "b", "--from", "rk3588", "--out", tmp_path / "b.yaml").refused("did you mean 'rk3588_npu'")
    hwsim("profiles", "new", "b", "--array", "bismos", "--out", tmp_path / "b.yaml").refused("did you mean 'bismo'")
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    hwsim("profiles", "new", "b", "--out", tmp_path / "taken" / "b.yaml").refused("a file stands where a folder")


def test_a_profile_is_written_into_a_folder_that_is_made(hwsim: Command, tmp_path: Path) -> None:
    path = tmp_path / "boards" / "b.yaml"
    told = hwsim("profiles", "new", "b", "--out", path, "--json")
    assert json.loads(told.out) == {"name": "b", "file": str(path)}
    assert path.is_file()
