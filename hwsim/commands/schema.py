"""``hwsim schema``: documents, for editors."""

from __future__ import annotations

from typing import Annotated

import typer

from hwsim.commands import completion


def schema(
    kind: Annotated[
        str,
        typer.Argument(
            autocompletion=completion.kinds_of_documents,
            help="scenario, recipe, profile (of a device), array_profile or energy_table",
        ),
    ],
) -> None:
    """Print the JSON Schema of a document, for editors.

    Examples:
        hwsim schema scenario > scenario.schema.json
    """
    from hwsim.config.schema import schema_of

    print(schema_of(kind))
