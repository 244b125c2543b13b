"""JSON Schema of the documents, for editors that complete and check YAML."""

from __future__ import annotations

import json

from pydantic import BaseModel


def json_schema(model: type[BaseModel]) -> str:
    """Return the JSON Schema of a document, as indented text."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(by_alias=True),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
