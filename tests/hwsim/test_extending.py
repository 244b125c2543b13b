"""Profiles that extend others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bitmixer.errors import BitmixerError
from hwsim.config.array_profile import ArrayProfile, load_any_profile
from hwsim.config.profile import load_profile
from hwsim.config.schema import json_schema


def written(path: Path, text: str) -> str:
    path.write_text(f"schema_version: 1\nname: mine\n{text}", encoding="utf-8")
    return str(path)


def test_what_it_does_not_say_is_as_in_the_other() -> None:
    base, buffered = load_profile("bismo_pynq_z1"), load_profile("bismo_pynq_z1_buffered")
    own = {"name", "description", "buffers", "execution"}
    assert base.model_dump(exclude=own) == buffered.model_dump(exclude=own)
    assert base.buffers is None
    assert buffered.buffers is not None
    # 128 BRAM36 in all: 1024 words of 256 bits for each of 8 rows and 8 columns, 4 KiB to a BRAM.
    assert buffered.buffers.weight_bytes.value + buffered.buffers.activation_bytes.value == 128 * 4096


def test_a_profile_beside_it_can_be_extended_and_top_level_keys_are_replaced_whole(tmp_path: Path) -> None:
    written(tmp_path / "base.yaml", "extends: bismo_pynq_z1_buffered\nexecution: {requantise: on_load}\n")
    mine = load_profile(written(tmp_path / "mine.yaml", "extends: base.yaml\n"))
    assert (mine.name, mine.execution.overlap, mine.execution.requantise) == ("mine", "ideal", "on_load")


def test_an_array_profile_can_be_extended(tmp_path: Path) -> None:
    text = "extends: unpu\nclock: {value: 150 MHz, source: mine}\n"
    base, mine = load_any_profile("unpu"), load_any_profile(written(tmp_path / "mine.yaml", text))
    assert isinstance(mine, ArrayProfile)
    assert (mine.name, mine.clock_hertz.value) == ("mine", 150_000_000)
    own = {"name", "clock_hertz", "description"}
    assert mine.model_dump(exclude=own) == base.model_dump(exclude=own)


def test_the_schema_lets_a_profile_leave_out_what_it_extends() -> None:
    schema = json.loads(json_schema(ArrayProfile, extends="extends"))
    extending, whole = (each["required"] for each in schema["anyOf"])
    assert "extends" in schema["properties"]
    assert set(extending) == {"extends"}  # the rest may come from what it extends
    assert {"array", "clock", "energy"} <= set(whole)
    assert "required" not in schema


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: bismo_pynk\n", r"mine\.yaml:3:10: extends: no packaged profile 'bismo_pynk': did you mean"),
        ("extends: mine.yaml\n", r"mine\.yaml:3:10: extends: mine\.yaml extends this profile"),
        (
            "extends: bismo_pynq_z1\nmemroy: {}\n",
            r"mine\.yaml:4:1: memroy: unknown key 'memroy': did you mean 'memory'",
        ),
        ("extends: bismo_pynq_z1\nmemory: {}\n", r"mine\.yaml:4:9: memory\.dram_peak_bandwidth: "),
    ],
)
def test_what_is_wrong_is_placed_in_the_file_that_says_it(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BitmixerError, match=message):
        load_profile(written(tmp_path / "mine.yaml", text))


def test_profiles_that_extend_one_another_are_refused(tmp_path: Path) -> None:
    other = written(tmp_path / "other.yaml", "extends: mine.yaml\n")
    written(tmp_path / "mine.yaml", "extends: other.yaml\n")
    with pytest.raises(BitmixerError, match="extends this profile"):
        load_profile(other)
