"""JSON Schema of the documents, for editors that complete and check YAML."""

from __future__ import annotations

import json

from pydantic import BaseModel

from bitmixer.errors import did_you_mean
from bitmixer.training.recipe import Recipe
from hwsim.config.array_profile import ArrayProfile
from hwsim.config.energy_tables import EnergySources
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


def schema_of(kind: str) -> str:
    """Return the JSON Schema of a kind of document.

    Raises:
        ConfigurationError: There is no such kind.
    """
    if kind not in DOCUMENTS:
        raise ConfigurationError(f"unknown document {kind!r}: {did_you_mean(kind, DOCUMENTS)}")
    return json_schema(DOCUMENTS[kind], extends=KEY if kind in EXTENDING else None)


def json_schema(model: type[BaseModel], *, extends: str | None = None) -> str:
    """Return the JSON Schema of a document, as indented text.

    Args:
        model: The document.
        extends: The key that names another document, from which come all keys that are not written; ``None``: no such.
    """
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(by_alias=True),
    }
    if extends is not None:
        schema["properties"][extends] = {"type": "string", "description": "Name or path of what this one extends"}
        required = schema.pop("required")
        schema["anyOf"] = [{"required": [extends, "schema_version", "name"]}, {"required": required}]
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
