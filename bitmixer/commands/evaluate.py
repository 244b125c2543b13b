"""``bitmixer evaluate``: how often a network is right."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bitmixer.command_line import AsJson, print_json
from bitmixer.commands.options import (
    PACKED_SUFFIX,
    DataName,
    DataRoot,
    NoProgress,
    Threads,
    complete_checkpoint,
    data_of,
    set_threads,
)
from bitmixer.data_folder import use_data_root
from bitmixer.errors import BitWidthError
from bitmixer.progress import progress_on_stderr
from bitmixer.tables import print_accuracy


def evaluate(
    name: Annotated[
        str,
        typer.Argument(
            autocompletion=complete_checkpoint,
            help="A shipped checkpoint's name, a checkpoint's folder, or a packed file.",
        ),
    ],
    data: DataName = None,
    random: Annotated[int, typer.Option(min=0, help="Random per-layer assignments to try.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the assignments.")] = 0,
    assignment: Annotated[
        Path | None, typer.Option(help="Also measure this one: JSON, site -> [weight bits, activation bits].")
    ] = None,
    datapath: Annotated[
        str, typer.Option(help="How codes are multiplied: bit_parallel, or bit_serial (same results, plane by plane).")
    ] = "bit_parallel",
    threads: Threads = None,
    quiet: NoProgress = False,
    as_json: AsJson = False,
    data_root: DataRoot = None,
) -> None:
    """Measure a checkpoint's accuracy at its widths.

    At every uniform width, and over random per-layer widths or those of a file.

    Examples:
        bitmixer evaluate resnet8_digits --random 20
        bitmixer evaluate resnet8_digits --data digits+noise0.4@7 --json
        bitmixer evaluate resnet8_digits --datapath bit_serial  # the same results, plane by plane
        bitmixer evaluate resnet8_digits_one_bit-1bit.safetensors  # what bitmixer pack wrote
    """
    use_data_root(data_root)
    from bitmixer.assignment_file import load_assignment
    from bitmixer.bitwidths import checked_datapath
    from bitmixer.networks import find_checkpoint, load_network
    from bitmixer.networks.checkpoint import require_weights

    multiplied = checked_datapath(datapath)
    if Path(name).suffix == PACKED_SUFFIX:
        if random or assignment is not None:
            raise BitWidthError(f"{name}: a packed network has one bit: leave out --random and --assignment")
        set_threads(threads)
        from bitmixer.packed.evaluation import evaluate_packed

        _print_measured(evaluate_packed(Path(name), data).as_dict(), is_fixed=False, as_json=as_json)
        return
    checkpoint = find_checkpoint(name)
    require_weights(checkpoint)
    chosen = data_of(checkpoint, data)
    assigned = (
        None if assignment is None else load_assignment(assignment, checkpoint.graph.layers, network=checkpoint.name)
    )
    network = load_network(checkpoint)
    set_threads(threads)
    from bitmixer.evaluation import evaluate

    done, total = 0, len(checkpoint.graph.uniform_bits) + random
    with progress_on_stderr(total, quiet=quiet, only_bar=True) as show:

        def report(step: str) -> None:
            nonlocal done
            done += 1
            show(done, step)

        measured = evaluate(
            network,
            checkpoint.graph,
            chosen,
            random_assignments=random,
            seed=seed,
            assignment=assigned,
            datapath=multiplied,
            progress=report,
        ).as_dict()
    _print_measured(measured, is_fixed=checkpoint.graph.is_fixed, as_json=as_json)


def _print_measured(measured: dict[str, Any], *, is_fixed: bool, as_json: bool) -> None:
    if as_json:
        print_json(measured)
    else:
        print_accuracy(measured, is_fixed=is_fixed)
