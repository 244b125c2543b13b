"""``hwsim cost``: what layers take on an array."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bitmixer.data_folder import use_data_root
from hwsim.commands import completion
from hwsim.commands.options import DataRoot
from hwsim.errors import ConfigurationError


def cost(
    array: Annotated[
        str | None, typer.Option(autocompletion=completion.arrays, help="Array model [the profile's].")
    ] = None,
    layers: Annotated[Path | None, typer.Option(help="Layer table (CSV).")] = None,
    network: Annotated[
        str | None, typer.Option(autocompletion=completion.networks, help="Network, instead of a layer table.")
    ] = None,
    bits: Annotated[int | None, typer.Option(help="Uniform width for --network [its highest].")] = None,
    all_widths: Annotated[
        bool,
        typer.Option("--all-widths", help="With --network: each layer at each of its widths, as a search takes it."),
    ] = False,
    assignment: Annotated[Path | None, typer.Option(help="With --network: widths per layer (JSON).")] = None,
    inputs: Annotated[
        int, typer.Option(min=1, help="Inputs per frame, with --network; with --data, how many are counted.")
    ] = 1,
    data: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.data_sets,
            help="With --network: count the cycles of an array that skips work from the values of each of the first "
            "--inputs test inputs of this set, instead of pricing its bound.",
        ),
    ] = None,
    training: Annotated[
        str | None,
        typer.Option(
            help="With --network: price a training step of --inputs inputs in these floats: e5m2, e4m3, hybrid or "
            "float16."
        ),
    ] = None,
    data_root: DataRoot = None,
    profile: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.profiles,
            help="Device or array profile: array, memory, energy, clock [bismo_pynq_z1; bitfusion has its own].",
        ),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="Array parameter: rows=16; or a value of the profile: profile.PATH=VALUE."),
    ] = None,
    total: Annotated[bool, typer.Option("--total", help="Add a last row: the sums over all layers.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the energy of each action.")] = False,
) -> None:
    """Print cycles, traffic and energy per layer as CSV.

    Also utilisation, stalls and seconds. With --data the cycles that inputs take; with --training a row per layer and
    product of a training step.

    Examples:
        hwsim cost --network resnet18 --bits 4
        hwsim cost --network resnet18 --profile unpu --total --json
        hwsim cost --array stripes --set columns=8 --network resnet18
        hwsim cost --layers layers.csv --array bismo
        hwsim cost --network resnet8_digits --array pragmatic --data digits --inputs 2  # cycles from values
    """
    use_data_root(data_root)
    from hwsim.pricing import Widths, borrowed, price

    widths = Widths(bits=bits, all_widths=all_widths, assignment=assignment)
    if total and all_widths:
        raise ConfigurationError("hwsim cost: --total sums the layers of one assignment: leave --all-widths out")
    if training is not None:
        from hwsim.training_pricing import price_training

        others = {"--layers": layers is not None, "--data": data is not None, **dict.fromkeys(widths.options, True)}
        if network is None or any(others.values()):
            wrong = next((option for option, is_given in others.items() if is_given), "no --network")
            raise ConfigurationError(f"hwsim cost: --training goes with --network alone: {wrong} was given")
        priced = price_training(
            array, network=network, training=training, inputs=inputs, profile=profile, sets=sets or ()
        )
    elif data is not None:
        from hwsim.value_pricing import count_values

        if network is None or layers is not None:
            raise ConfigurationError("hwsim cost: --data goes with --network, and not with --layers")
        priced = count_values(
            array, network=network, data=data, inputs=inputs, widths=widths, profile=profile, sets=sets or ()
        )
    else:
        priced = price(
            array, layers=layers, network=network, widths=widths, inputs=inputs, profile=profile, sets=sets or ()
        )
        if note := borrowed(array, profile):
            print(f"note: {note}", file=sys.stderr)
    print(priced.to_json(total=total) if as_json else priced.to_csv(total=total), end="")
