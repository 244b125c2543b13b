"""Documents: YAML 1.2 without surprises, and every error in its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import StrictBool

from bitmixer.documents.section import Section, Text
from bitmixer.documents.source import load_document, parse
from bitmixer.errors import DocumentError
from hwsim.config.overrides import parse_set, split_sets
from hwsim.config.quantity import PositiveCount, PositivePicoseconds
from hwsim.config.schema import json_schema


class Lamp(Section):
    colour: Text
    brightness: PositiveCount = 1


class House(Section):
    name: Text
    open: StrictBool = False
    bell_picoseconds: PositivePicoseconds
    lamps: tuple[Lamp, ...]


GOOD = """\
name: hill
bell: 5 ms
lamps:
  - colour: red
    brightness: 3
  - {colour: blue}
"""


def load(tmp_path: Path, text: str, *sets: str) -> House:
    path = tmp_path / "house.yaml"
    path.write_text(text, encoding="utf-8")
    return load_document(path, House, [parse_set(item) for item in sets])


def complaint(tmp_path: Path, text: str, *sets: str) -> list[str]:
    """Return the lines of the error, without the folder."""
    with pytest.raises(DocumentError) as caught:
        load(tmp_path, text, *sets)
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


def test_a_document_is_read_into_its_model(tmp_path: Path) -> None:
    house = load(tmp_path, GOOD)
    assert (house.name, house.open, house.bell_picoseconds) == ("hill", False, 5_000_000_000)
    assert [(lamp.colour, lamp.brightness) for lamp in house.lamps] == [("red", 3), ("blue", 1)]


def test_yaml_1_2_has_no_surprises() -> None:
    tree = parse("a: 1e-12\nb: on\nc: 012\nd: 1:30\ne: ~\nf: true\n", "f.yaml")
    assert tree.data == {"a": 1e-12, "b": "on", "c": 12, "d": "1:30", "e": None, "f": True}


def test_aliases_and_merges_are_read() -> None:
    tree = parse("a: &lamp {colour: red}\nb: *lamp\nc:\n  <<: *lamp\n  brightness: 2\n", "f.yaml")
    assert tree.data["b"] == {"colour": "red"}
    assert tree.data["c"] == {"colour": "red", "brightness": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "f.yaml:2:1: key 'a' is given twice: keep one"),
        ("a: [1,", "f.yaml:1:7: not valid YAML"),
        ("a:\n\t- b\n", "f.yaml:2:1: not valid YAML"),
        ("a: .nan\n", "f.yaml:1:4: a: nan is not a finite number"),
        ("a:\n  - -.inf\n", "f.yaml:2:5: a.0: -inf is not a finite number"),
        ("a: !!python/object:os.system x\n", "f.yaml:1:4: a: tags such as"),
        ("a: 2024-01-01\n", "f.yaml:1:4: a: date values are not read: put it in quotes"),
        ("1: one\n", "f.yaml:1:1: key 1 is not a text"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: not valid YAML"),
        ("a: *lamp\n", "f.yaml:1:4: not valid YAML: found undefined alias"),
        ("[" * 5000, "f.yaml: nested too deeply"),
        ("a: \x01\n", "f.yaml: not valid YAML: unacceptable character"),
    ],
)
def test_what_documents_do_not_hold_is_refused_in_its_place(text: str, message: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse(text, "f.yaml")
    assert str(caught.value).startswith(message)


@given(st.text(alphabet="ab:- [{}]&*!|>'\"\n\t#~1.", max_size=30))
def test_any_text_is_a_document_or_a_placed_error(text: str) -> None:
    try:
        outcome = parse(text, "f.yaml").places[()]
    except DocumentError as error:
        outcome = str(error)
    assert outcome.startswith("f.yaml:")


def test_each_problem_is_one_line_in_the_order_of_the_file(tmp_path: Path) -> None:
    wrong = GOOD.replace("5 ms", "5").replace("colour: blue", "colour: 7").replace("brightness: 3", "brightness: 0")
    assert complaint(tmp_path, wrong) == [
        "house.yaml:2:7: bell: 5 has no unit: a duration needs one, write for example 5 ms",
        "house.yaml:5:17: lamps.0.brightness: 0 is out of bounds: a number here must be at least 1",
        "house.yaml:6:14: lamps.1.colour: expected a text; got 7",
    ]


def test_a_mistyped_key_and_the_key_it_stands_for_are_one_problem(tmp_path: Path) -> None:
    (line,) = complaint(tmp_path, GOOD.replace("colour: blue", "color: blue"))
    assert line.startswith("house.yaml:6:6: lamps.1.color: unknown key 'color': did you mean 'colour'?")


def test_an_unknown_key_hides_no_missing_key_that_is_unlike_it(tmp_path: Path) -> None:
    unknown, missing = sorted(complaint(tmp_path, GOOD.replace("bell: 5 ms", "zzz: 1")))[::-1]
    assert unknown.startswith("house.yaml:2:1: zzz: unknown key 'zzz'")
    assert missing == "house.yaml:1:1: bell: missing: expected a duration, for example 5 ms"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: hill", "name: hill\nopen: off", "house.yaml:2:7: open: expected true or false; got 'off'"),
        ("name: hill", "name: ''", "house.yaml:1:7: name: is empty"),
        (
            "- {colour: blue}",
            "- blue",
            "house.yaml:6:5: lamps.1: expected a mapping with the keys colour; got 'blue'",
        ),
        ("bell: 5 ms", "bell: ~", "house.yaml:2:7: bell: is not filled in: expected a duration, for example 5 ms"),
    ],
)
def test_wrong_values_say_what_was_expected(tmp_path: Path, old: str, new: str, message: str) -> None:
    (line,) = complaint(tmp_path, GOOD.replace(old, new))
    assert line.startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "house.yaml:1:1: is empty: expected 'key: value' lines"),
        (b"# only a comment\n", "house.yaml:1:1: is empty"),
        (b"- a\n- b\n", "house.yaml:1:1: holds no mapping at its top level"),
        (b"name: \xff\n", "house.yaml: byte 6 is not UTF-8"),
    ],
)
def test_files_that_are_no_document(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "house.yaml").write_bytes(content)
    with pytest.raises(DocumentError) as caught:
        load_document(tmp_path / "house.yaml", House)
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(message)


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "house.yaml").touch()
    with pytest.raises(DocumentError, match=r"no such file; did you mean 'house\.yaml'\?"):
        load_document(tmp_path / "huose.yaml", House)
    with pytest.raises(DocumentError, match="is a directory: give a file"):
        load_document(tmp_path, House)


def test_overrides_replace_and_add_values(tmp_path: Path) -> None:
    house = load(tmp_path, GOOD, "lamps.1.brightness=9", "bell=2 s", "open=true", "name=a=b")
    assert (house.lamps[1].brightness, house.bell_picoseconds, house.open, house.name) == (
        9,
        2 * 10**12,
        True,
        "a=b",
    )


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (
            "lamps.0.color=red",
            "--set lamps.0.color: lamps.0.color: unknown key 'color': did you mean 'colour'?",
        ),
        ("lamp.0.colour=red", "--set lamp.0.colour: lamp: unknown key 'lamp': did you mean 'lamps'?"),
        (
            "lamps.2.colour=red",
            "--set lamps.2.colour: lamps is a list of 2: expected a position from 0 to 1, got '2'",
        ),
        ("name.first=x", "--set name.first: name is 'hill' and has no 'first'"),
        ("bell=5", "--set bell: bell: 5 has no unit"),
        ("lamps.0={colour: 3}", "--set lamps.0: lamps.0.colour: expected a text; got 3"),
        ("bell", "--set bell: expected PATH=VALUE"),
        ("a..b=1", "--set a..b=1: expected PATH=VALUE"),
        ("bell=[1", "--set bell:1:3: not valid YAML"),
    ],
)
def test_wrong_overrides_are_placed_on_the_command_line(tmp_path: Path, item: str, message: str) -> None:
    (line,) = complaint(tmp_path, GOOD, item)
    assert line.startswith(message)


def test_overrides_of_the_profile_are_told_apart() -> None:
    for_scenario, for_profile = split_sets(["seed=3", "profile=other", "profile.memory.dram_efficiency.value=0.5"])
    assert [(override.path, override.value) for override in for_scenario] == [
        ("seed", 3),
        ("profile", "other"),
    ]
    assert [(override.path, override.value) for override in for_profile] == [("memory.dram_efficiency.value", 0.5)]
    assert for_profile[0].place == "--set profile.memory.dram_efficiency.value"


def test_the_schema_names_the_keys_of_a_file() -> None:
    schema = json.loads(json_schema(House))
    assert schema["required"] == ["name", "bell", "lamps"]
    assert schema["properties"]["bell"]["type"] == "string"
    assert schema["additionalProperties"] is False
