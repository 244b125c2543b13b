"""The schemas that editors take: current, named by every document that ships, and allowing what the documents say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bitmixer.documents import read_tree
from bitmixer.training.recipe import packaged_recipes
from hwsim.config.explanations import explanations, summary
from hwsim.config.packaged import directory
from hwsim.config.profile import DieTemperatureSensor
from hwsim.config.schema import DOCUMENTS, EDITORS, FOLDER, file_name, schema_of

FOLDERS = {
    "scenario": directory("scenarios"),
    "profile": directory("profiles"),
    "array_profile": directory("profiles/arrays"),
    "energy_table": directory("profiles/energy"),
    "recipe": packaged_recipes(),
}
SHIPPED = [(kind, path) for kind, folder in FOLDERS.items() for path in sorted(folder.glob("*.yaml"))]
Command = Callable[..., Any]


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_the_committed_schema_is_current(kind: str) -> None:
    mend = "python -m hwsim schema --write hwsim/config/schemas"
    assert (FOLDER / file_name(kind)).read_text(encoding="utf-8") == schema_of(kind), f"write it anew: {mend}"


@pytest.mark.parametrize(("kind", "path"), SHIPPED, ids=[f"{kind}-{path.stem}" for kind, path in SHIPPED])
def test_a_document_names_its_schema_and_follows_it(kind: str, path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(EDITORS)
    assert (path.parent / first.removeprefix(EDITORS)).resolve() == (FOLDER / file_name(kind)).resolve()
    validator = jsonschema.Draft202012Validator(json.loads(schema_of(kind)))
    assert [error.message for error in validator.iter_errors(read_tree(path).data)] == []


def test_a_wrong_key_and_a_wrong_value_are_no_documents() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(schema_of("scenario")))
    right = read_tree(FOLDERS["scenario"] / "thermal_throttle.yaml").data
    for wrong in ({"quue": right["queue"]}, {"outputs": "eager"}, {"seed": "one"}):
        assert not validator.is_valid(right | wrong)


def test_fields_are_described_in_the_words_of_their_docstrings() -> None:
    definition = json.loads(schema_of("profile"))["$defs"]["DieTemperatureSensor"]
    assert (
        definition["description"] == summary(DieTemperatureSensor) == "What controllers see of the die's temperature."
    )
    told = definition["properties"]["noise"]["description"]
    assert told == "Standard deviation before quantisation; of readings at rest."
    assert explanations(DieTemperatureSensor)["noise_kelvin"] == told


def test_schemas_are_written_for_documents_of_one_s_own(hwsim: Command, tmp_path: Path) -> None:
    done = hwsim("schema", "--write", tmp_path / "schemas")
    assert done.code == 0
    lines = done.out.splitlines()
    assert len(lines) == len(DOCUMENTS)
    for line, kind in zip(lines, DOCUMENTS, strict=True):
        assert Path(line.removeprefix(EDITORS)).read_text(encoding="utf-8") == schema_of(kind)
    one = hwsim("schema", "recipe", "--write", tmp_path, "--json")
    assert json.loads(one.out) == [str(tmp_path / "recipe.schema.json")]
    hwsim("schema").refused("Name a kind of document")
    hwsim("schema", "recip", "--write", tmp_path).refused("did you mean 'recipe'")
