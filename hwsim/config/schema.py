"""JSON Schema of the documents, for editors that complete and check YAML."""

from __future__ import annotations

import json

from pydantic import BaseModel


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
