"""``hwsim validate``: whether documents are valid."""

from __future__ import annotations

from typing import Annotated

import typer

from bitmixer.command_line import AsJson, Quiet, print_error, print_json
from bitmixer.errors import BitmixerError
from hwsim.commands import completion
from hwsim.errors import HwsimError


def validate(
    files: Annotated[
        list[str],
        typer.Argument(
            autocompletion=completion.documents, help="Scenarios, profiles (packaged names or paths) or recipes."
        ),
    ],
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Check documents, with everything that they refer to.

    Scenarios, profiles of devices and arrays, energy tables, recipes; all are checked, whatever is wrong with one.

    Examples:
        hwsim validate thermal_throttle
        hwsim validate mine.yaml ../profiles/board.yaml recipes/resnet8_digits.yaml
    """
    from hwsim.validation import validate_file

    answers = []
    for name in files:
        try:
            told, valid = validate_file(name), True
        except (HwsimError, BitmixerError) as error:
            told, valid = str(error), False
        answers.append({"file": name, "valid": valid, "told": told})
        if not valid:
            print_error(told)
        elif not (quiet or as_json):
            print(told)
    if as_json:
        print_json(answers)
    if not all(answer["valid"] for answer in answers):
        raise typer.Exit(2)
