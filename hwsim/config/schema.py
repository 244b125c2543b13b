"""JSON Schema of the documents, for editors that complete and check YAML."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from bitmixer.errors import did_you_mean
from bitmixer.output_files import make_folder, write_output
from bitmixer.training.recipe import Recipe
from hwsim.config.array_profile import ArrayProfile
from hwsim.config.energy_tables import EnergySources
from hwsim.config.explanations import explanations, summary
from hwsim.config.extending import KEY
from hwsim.config.profile import DeviceProfile
from hwsim.config.scenario import Scenario
from hwsim.errors import ConfigurationError

DOCUMENTS: dict[str, type[BaseModel]] = {
    "scenario": Scenario,
    "recipe": Recipe,
    "profile": DeviceProfile,
    "array_profile": ArrayProfile,
    "energy_table": EnergySources,
}
EXTENDING = ("profile", "array_profile")
"""Documents that may take what they do not say from another one."""
FOLDER = Path(__file__).parent / "schemas"
"""The schemas as files, which the documents that come with the package name for editors."""
EDITORS = "# yaml-language-server: $schema="
"""What stands before the path of its schema in a document's first line."""


class _Explained(GenerateJsonSchema):
    """Describes sections and fields in the words of their docstrings."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        model = schema["cls"]
        made.pop("description", None)
        if text := summary(model):
            made["description"] = text
        told = {model.model_fields[name].alias or name: text for name, text in explanations(model).items()}
        for key, text in told.items():
            made["properties"][key]["description"] = text
        return made


def schema_of(kind: str) -> str:
    """Return the JSON Schema of a kind of document.

    Raises:
        ConfigurationError: There is no such kind.
    """
    if kind not in DOCUMENTS:
        raise ConfigurationError(f"unknown document {kind!r}: {did_you_mean(kind, DOCUMENTS)}")
    return json_schema(DOCUMENTS[kind], extends=KEY if kind in EXTENDING else None)


def file_name(kind: str) -> str:
    """Return the name of the file that holds a kind's schema."""
    return f"{kind}.schema.json"


def write_schemas(folder: Path, kinds: Iterable[str] = DOCUMENTS) -> tuple[Path, ...]:
    """Write the schemas of kinds of documents into a folder, a file each, and return the files.

    Raises:
        ConfigurationError: There is no such kind.
        OutputError: The folder or a file cannot be written.
    """
    texts = {folder / file_name(kind): schema_of(kind) for kind in kinds}
    make_folder(folder)
    for path, text in texts.items():
        write_output(path, text.encode())
    return tuple(texts)


def json_schema(model: type[BaseModel], *, extends: str | None = None) -> str:
    """Return the JSON Schema of a document, as indented text.

    Args:
        model: The document.
        extends: The key that names another document, from which come all keys that are not written; ``None``: no such.
    """
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(by_alias=True, schema_generator=_Explained),
    }
    if extends is not None:
        schema["properties"][extends] = {"type": "string", "description": "Name or path of what this one extends"}
        required = schema.pop("required")
        schema["anyOf"] = [{"required": [extends]}, {"required": required}]
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
