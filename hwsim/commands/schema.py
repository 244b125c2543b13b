"""``hwsim schema``: documents, for editors."""

from __future__ import annotations

from typing import Annotated

import typer


def schema(
    kind: Annotated[str, typer.Argument(help="scenario, recipe, profile (of a device), array_profile or energy_table")],
) -> None:
    """Print the JSON schema of a document, for editors."""
    from hwsim.config.schema import schema_of

    print(schema_of(kind))
