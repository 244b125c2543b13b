"""``hwsim validate``: whether documents are valid."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bitmixer.errors import BitmixerError
from hwsim.errors import HwsimError


def validate(
    files: Annotated[list[str], typer.Argument(help="Scenarios, profiles (packaged names or paths) or recipes.")],
) -> None:
    """Check scenarios, profiles and recipes, with everything that they refer to."""
    from hwsim.validation import validate_file

    failed = False
    for name in files:
        try:
            print(validate_file(name))
        except (HwsimError, BitmixerError) as error:
            print(f"error: {error}", file=sys.stderr)
            failed = True
    if failed:
        raise typer.Exit(2)
