"""``hwsim profiles``: devices and arrays, and where their numbers come from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from bitmixer.command_line import AsJson, CommandGroup, Quiet, print_json
from hwsim.commands import completion

profiles_app = CommandGroup(invoke_without_command=True)


@profiles_app.callback(
    help="List the packaged profiles, of devices and of arrays.",
    epilog="Examples:\n  hwsim profiles\n  hwsim profiles show rk3588_npu\n  hwsim profiles new my_board --help",
)
def list_profiles(context: typer.Context, as_json: AsJson = False) -> None:
    """List the packaged profiles, unless another command is named."""
    if context.invoked_subcommand is not None:
        return
    from hwsim.config.array_profile import load_any_profile
    from hwsim.config.packaged import packaged_names
    from hwsim.config.provenance import count_assumptions, provenance

    rows = []
    for name in (*packaged_names("profiles"), *packaged_names("profiles/arrays")):
        profile = load_any_profile(name)
        numbers, assumed = len(provenance(profile)), count_assumptions(profile)
        rows.append({"name": name, "description": profile.description, "numbers": numbers, "assumed": assumed})
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print("{name}: {description} ({numbers} numbers, {assumed} assumed)".format_map(row))


@profiles_app.command("new")
def new_profile(
    name: Annotated[str, typer.Argument(help="Name of the device.")],
    based_on: Annotated[
        str | None,
        typer.Option(
            "--from",
            autocompletion=completion.profiles,
            help="Start with the structure, numbers and sources of this device [numbers are left open].",
        ),
    ] = None,
    array: Annotated[
        str, typer.Option(autocompletion=completion.arrays, help="Kind of its array; with --from it is that profile's.")
    ] = "bismo",
    out: Annotated[Path | None, typer.Option(help="File to write [NAME.yaml].")] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write a device profile to fill in, with every field explained.

    Each number stands with what it means, its unit and where one finds it; hwsim validate names those that are missing.

    Examples:
        hwsim profiles new my_board
        hwsim profiles new my_board --array stripes --out boards/my_board.yaml
        hwsim profiles new my_board --from rk3588_npu  # a device much like it
    """
    from hwsim.config.scaffold import scaffold, write_new

    path = out or Path(f"{name}.yaml")
    write_new(path, scaffold(name, array=array, based_on=based_on))
    if as_json:
        print_json({"name": name, "file": str(path)})
    elif not quiet:
        print(f"{path}: fill it in, and check it with: hwsim validate {path}")


@profiles_app.command("show")
def show_profile(
    name: Annotated[str, typer.Argument(autocompletion=completion.profiles, help="Packaged name or path.")],
    as_json: AsJson = False,
) -> None:
    """Print every number of a profile with its source.

    Or why it was assumed, and in which range.

    Examples:
        hwsim profiles show bismo_pynq_z1
        hwsim profiles show boards/mine.yaml --json
    """
    from hwsim.config.array_profile import load_any_profile
    from hwsim.config.provenance import provenance
    from hwsim.report.terminal import print_provenance

    numbers = provenance(load_any_profile(name))
    if as_json:
        print_json([dataclasses.asdict(number) for number in numbers])
    else:
        print_provenance(numbers)
