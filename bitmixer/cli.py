"""The command line: a thin layer over the package; every command imports what it needs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitmixer.data_folder import use_data_root
from bitmixer.errors import BitmixerError, BitWidthError, DataError
from bitmixer.progress import progress_on_stderr
from bitmixer.tables import print_accuracy, print_found, print_table

if TYPE_CHECKING:
    from bitmixer.networks.checkpoint import Checkpoint

app = typer.Typer(
    name="bitmixer",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Networks whose layers change their bit-width at run time.",
    epilog="Start here: python -m bitmixer evaluate resnet8_digits --random 20",
)

FOUND = {"bits_per_weight": "bits", "occupied_columns": "columns"}
"""What a row of a training's history says of bits that are emptied -> its name in the progress."""

PACKED_SUFFIX = ".safetensors"
"""A network's name that ends so is the file of a packed one."""

DataRoot = Annotated[Path | None, typer.Option("--data-root", help="Folder of CIFAR-10 [BITMIXER_DATA].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads [as many as there are cores].")]


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's packaged name or path.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the checkpoint [runs/NAME].")] = None,
    device: Annotated[str, typer.Option(help="Where to compute: cpu, cuda, mps.")] = "cpu",
    tensorboard: Annotated[bool, typer.Option(help="Write TensorBoard logs beside the checkpoint.")] = False,
    threads: Threads = None,
    quiet: Quiet = False,
    data_root: DataRoot = None,
) -> None:
    """Train a recipe to a checkpoint; run it again after an interruption, and it goes on to the same bits."""
    use_data_root(data_root)
    from bitmixer.allocation import keep_freed_memory
    from bitmixer.output_files import make_folder
    from bitmixer.training.recipe import find_recipe, load_recipe

    file = find_recipe(recipe)
    plan = load_recipe(file)
    folder = out or Path("runs") / plan.name
    make_folder(folder)
    _set_threads(threads)
    keep_freed_memory()
    from bitmixer.training.loop import total_epochs, train
    from bitmixer.training.tensorboard import log_to

    done, total = 0, total_epochs(plan)
    log = log_to(folder / "tensorboard") if tensorboard else None
    try:
        with progress_on_stderr(total, quiet=quiet) as show:

            def report(row: dict[str, Any]) -> None:
                nonlocal done
                done = row["epoch"]
                if log is not None:
                    log(row)
                found = "".join(f" {what} {row[key]:.2f}" for key, what in FOUND.items() if key in row)
                show(done, f"epoch {done}/{total} {row['stage']} loss {row['loss']:.4f}{found} {row['seconds']:.1f} s")

            checkpoint = train(plan, file.read_text(encoding="utf-8"), folder, device=device, progress=report)
    except KeyboardInterrupt:
        print(
            f"interrupted after {done} of {total} epochs, which are kept in {folder}; "
            "run the same command again to go on",
            file=sys.stderr,
        )
        raise typer.Exit(130) from None
    if checkpoint is not None:
        assert checkpoint.metrics is not None
        print_accuracy(checkpoint.metrics, is_fixed=checkpoint.graph.is_fixed)
        if scheme := checkpoint.metrics.get("scheme"):
            print(
                f"Found {scheme['bits_per_weight']:.2f} bits of magnitude per weight, "
                f"{scheme['stored_bits_per_weight']:.2f} stored with the sign: {folder / 'scheme.json'}"
            )
        print(f"Checkpoint in {folder}")


@app.command("list")
def list_networks(as_json: AsJson = False) -> None:
    """List the architectures and the checkpoints that come with the package."""
    from bitmixer.networks import ARCHITECTURES, find_checkpoint, shipped_checkpoints

    architectures: list[dict[str, Any]] = [
        {
            "name": name, "width": form.width, "input_shape": list(form.input_shape), "classes": form.classes,
            "parameters": form.parameters, "macs": form.macs,
        }
        for name, form in ARCHITECTURES.items()
    ]  # fmt: skip
    checkpoints: list[dict[str, Any]] = []
    for name in shipped_checkpoints():
        checkpoint = find_checkpoint(name)
        measured = checkpoint.metrics or {}
        checkpoints.append({
            "name": name, "network": checkpoint.graph.network, "bits": list(checkpoint.graph.uniform_bits),
            "data": measured.get("data"), "inputs": measured.get("inputs"),
            "uniform": measured.get("uniform"), "random": measured.get("random"),
        })  # fmt: skip
    if as_json:
        print(json.dumps({"architectures": architectures, "checkpoints": checkpoints}, indent=1))
        return
    print_table("Architectures", ("name", "width", "input", "classes", "parameters", "MACs"), [
        (
            row["name"], str(row["width"]), "x".join(map(str, row["input_shape"])), str(row["classes"]),
            f"{row['parameters']:,}", f"{row['macs']:,}",
        )
        for row in architectures
    ])  # fmt: skip
    print_table("Checkpoints", ("name", "data", "bits", "accuracy"), [
        (row["name"], row["data"] or "-", ", ".join(map(str, row["bits"])), _accuracies(row["uniform"]))
        for row in checkpoints
    ])  # fmt: skip


@app.command()
def evaluate(
    name: Annotated[str, typer.Argument(help="A shipped checkpoint's name, a checkpoint's folder, or a packed file.")],
    data: Annotated[
        str | None, typer.Option(help="Data, for example digits+noise0.4@7 [what it was trained on].")
    ] = None,
    random: Annotated[int, typer.Option(min=0, help="Random per-layer assignments to try.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the assignments.")] = 0,
    assignment: Annotated[
        Path | None, typer.Option(help="Also measure this one: JSON, site -> [weight bits, activation bits].")
    ] = None,
    datapath: Annotated[
        str, typer.Option(help="How codes are multiplied: bit_parallel, or bit_serial (same results, plane by plane).")
    ] = "bit_parallel",
    threads: Threads = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    data_root: DataRoot = None,
) -> None:
    """Measure a checkpoint's accuracy at every uniform width, and over random per-layer widths."""
    use_data_root(data_root)
    from bitmixer.assignment_file import load_assignment
    from bitmixer.bitwidths import checked_datapath
    from bitmixer.networks import find_checkpoint, load_network
    from bitmixer.networks.checkpoint import require_weights

    multiplied = checked_datapath(datapath)
    if Path(name).suffix == PACKED_SUFFIX:
        if random or assignment is not None:
            raise BitWidthError(f"{name}: a packed network has one bit: leave out --random and --assignment")
        _set_threads(threads)
        from bitmixer.packed.evaluation import evaluate_packed

        _print_measured(evaluate_packed(Path(name), data).as_dict(), is_fixed=False, as_json=as_json)
        return
    checkpoint = find_checkpoint(name)
    require_weights(checkpoint)
    chosen = _data_of(checkpoint, data)
    assigned = (
        None if assignment is None else load_assignment(assignment, checkpoint.graph.layers, network=checkpoint.name)
    )
    network = load_network(checkpoint)
    _set_threads(threads)
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


@app.command()
def pack(
    name: Annotated[str, typer.Argument(help="A shipped checkpoint's name, or a checkpoint's folder.")],
    out: Annotated[Path | None, typer.Option(help="File to write [NAME-1bit.safetensors].")] = None,
) -> None:
    """Write a binary network, or the one-bit mode of one that switches, with one bit per weight; evaluate runs it."""
    from bitmixer.networks import find_checkpoint
    from bitmixer.networks.checkpoint import require_weights
    from bitmixer.packed.file import pack_checkpoint

    checkpoint = find_checkpoint(name)
    before = require_weights(checkpoint).stat().st_size
    file = out or Path(f"{checkpoint.name}-1bit{PACKED_SUFFIX}")
    layers = pack_checkpoint(checkpoint, file).layers
    print(f"{checkpoint.name} in {file}: {len(layers)} layers packed, {file.stat().st_size:,} of {before:,} bytes")


@app.command()
def download(
    name: Annotated[str, typer.Argument(help="A data set: cifar10.")],
    quiet: Quiet = False,
    data_root: DataRoot = None,
) -> None:
    """Fetch a data set that does not ship with the package into the data folder, and check it."""
    from bitmixer.data.download import download
    from bitmixer.data_folder import current_data_root

    root = download(name, data_root or current_data_root(), progress=not quiet and sys.stderr.isatty())
    print(f"{name} in {root}")


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="A shipped checkpoint's name, or a checkpoint's folder.")],
    bits: Annotated[int | None, typer.Option(help="Uniform width [its highest].")] = None,
    assignment: Annotated[
        Path | None, typer.Option(help="Widths by site, instead: JSON, site -> [weight bits, activation bits].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write [NAME-8bit.onnx, or after the assignment].")] = None,
    batch: Annotated[int, typer.Option(min=0, help="Inputs per batch; 0 leaves it open.")] = 1,
) -> None:
    """Write a checkpoint, frozen under one assignment, as QONNX."""
    from bitmixer.assignment_file import load_assignment
    from bitmixer.interchange.qonnx_export import export_qonnx
    from bitmixer.networks import find_checkpoint, load_network

    if bits is not None and assignment is not None:
        raise BitWidthError("bitmixer export: --bits and --assignment exclude one another: give one")
    checkpoint = find_checkpoint(name)
    graph = checkpoint.graph
    if assignment is not None:
        widths, label = load_assignment(assignment, graph.layers, network=checkpoint.name), assignment.stem
    else:
        width = max(graph.uniform_bits) if bits is None else bits
        widths, label = graph.uniform(width), f"{width}bit"
    file = out or Path(f"{checkpoint.name}-{label}.onnx")
    network = load_network(checkpoint)
    metadata = {"bitmixer.weights_sha256": str(checkpoint.weights_sha256)}
    export_qonnx(network, widths, file, name=checkpoint.name, batch=batch or None, metadata=metadata)
    print(f"{checkpoint.name} at {label} in {file}")


@app.command("import")
def import_network(
    file: Annotated[Path, typer.Argument(help="An ONNX or QONNX file.")],
    bits: Annotated[str, typer.Option(help="Widths of layers that the file does not quantise.")] = "2,3,4,8",
    out: Annotated[Path | None, typer.Option(help="File for the layer graph [FILE.json].")] = None,
) -> None:
    """Write the layer graph of an ONNX or QONNX file, to price it and to simulate it without outputs."""
    from bitmixer.interchange.onnx_import import graph_from_onnx
    from bitmixer.output_files import write_output

    graph = graph_from_onnx(file, _widths(bits))
    written = out or Path(f"{file.stem}.json")
    write_output(written, graph.to_json().encode())
    print(f"{len(graph.layers)} layers, {graph.macs:,} multiply-accumulates per input, in {written}")


@app.command()
def search(
    name: Annotated[str, typer.Argument(help="A shipped checkpoint's name, or a checkpoint's folder.")],
    budget: Annotated[str, typer.Option(help="KIND<=NUMBER, for example 'average_bits<=3'.")],
    method: Annotated[str, typer.Option(help="greedy, exact, random, several (greedy,exact) or all.")] = "all",
    data: Annotated[
        str | None, typer.Option(help="Data, for example digits+noise0.4@7 [what it was trained on].")
    ] = None,
    images: Annotated[int | None, typer.Option(min=1, help="Training images to search with [2000, or all].")] = None,
    random: Annotated[int, typer.Option(min=1, help="Assignments that method random draws.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the images and of random assignments.")] = 0,
    costs: Annotated[
        Path | None, typer.Option(help="Table of costs (CSV): its columns are kinds of budgets too.")
    ] = None,
    pareto: Annotated[bool, typer.Option("--pareto", help="Search under many budgets and draw the front.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for what is found [runs/search-NAME].")] = None,
    threads: Threads = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    data_root: DataRoot = None,
) -> None:
    """Search per-layer widths that lose least under a budget; training images choose, test images judge."""
    use_data_root(data_root)
    from bitmixer.networks import find_checkpoint
    from bitmixer.networks.checkpoint import require_weights
    from bitmixer.search.command import SearchRequest, run_search

    checkpoint = find_checkpoint(name)
    require_weights(checkpoint)
    request = SearchRequest(
        checkpoint=checkpoint, data=_data_of(checkpoint, data), budget=budget, method=method, images=images,
        random_assignments=random, seed=seed, costs=costs, pareto=pareto,
        folder=out or Path("runs") / f"search-{checkpoint.name}",
    )  # fmt: skip
    _set_threads(threads)
    with progress_on_stderr(None, quiet=quiet, only_bar=True) as show:
        found = run_search(request, progress=lambda step: show(0, step))
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        print_found(found)
        print(f"Assignments in {request.folder}")


def main() -> None:
    """Run the command line; errors are one line on stderr and an exit code, never a traceback."""
    try:
        app(prog_name="bitmixer")
    except (BitmixerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise BitWidthError(f"--bits {text}: expected whole numbers with commas between, for example 2,4,8") from None


def _data_of(checkpoint: Checkpoint, data: str | None) -> str:
    """Return the data that the user names, or else what the checkpoint was trained on."""
    chosen = data or (checkpoint.metrics or {}).get("data")
    if chosen is None:
        raise DataError(f"{checkpoint.name} does not say what it was trained on: give --data")
    return str(chosen)


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def _print_measured(measured: dict[str, Any], *, is_fixed: bool, as_json: bool) -> None:
    if as_json:
        print(json.dumps(measured, indent=1))
    else:
        print_accuracy(measured, is_fixed=is_fixed)


def _accuracies(uniform: dict[str, float] | None) -> str:
    if uniform is None:
        return "no weights"
    return ", ".join(f"{accuracy:.1%} at {bits}" for bits, accuracy in uniform.items())
