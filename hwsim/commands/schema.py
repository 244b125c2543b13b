"""``hwsim schema``: documents, for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bitmixer.command_line import AsJson, Quiet, print_json
from hwsim.commands import completion
from hwsim.errors import ConfigurationError


def schema(
    kind: Annotated[
        str | None,
        typer.Argument(
            autocompletion=completion.kinds_of_documents,
            help="scenario, recipe, profile (of a device), array_profile or energy_table [with --write: all].",
        ),
    ] = None,
    write: Annotated[Path | None, typer.Option(help="Write it into this folder instead of printing it.")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Print the JSON Schema of a document, for editors.

    Editors with a YAML language server complete and check a document whose first line names its schema.

    Examples:
        hwsim schema scenario > scenario.schema.json
        hwsim schema --write schemas  # all kinds, and the lines that name them
    """
    from hwsim.config.schema import EDITORS, schema_of, write_schemas

    if write is None:
        if kind is None:
            raise ConfigurationError("hwsim schema: of what? Name a kind of document, or --write all into a folder")
        print(schema_of(kind), end="")
        return
    files = write_schemas(write, (kind,)) if kind else write_schemas(write)
    if as_json:
        print_json([str(file) for file in files])
    elif not quiet:
        for file in files:
            print(f"{EDITORS}{file}")
