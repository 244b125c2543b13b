"""The command line: a thin layer over the package; every command imports what it needs."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from bitmixer.data_folder import use_data_root
from bitmixer.errors import BitmixerError
from hwsim.errors import ConfigurationError, HwsimError
from hwsim.progress import progress_bar

app = typer.Typer(
    name="hwsim",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Simulate a bit-serial accelerator on a hot device, with a real network's outputs.",
    epilog="Start here: python -m hwsim run thermal_throttle. Exit codes: 0 done, 1 a --fail-on limit was crossed, "
    "2 bad usage or input, 3 an invariant was broken, 130 interrupted.",
)

Out = Annotated[Path | None, typer.Option("--out", help="Folder for the results [runs/SCENARIO-CONTROLLER-sSEED].")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change one value: PATH=VALUE in the scenario, profile.PATH=VALUE in its profile."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, no table.")]
DataRoot = Annotated[Path | None, typer.Option("--data-root", help="Folder of CIFAR-10 [BITMIXER_DATA].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(help="A scenario's packaged name or path.")],
    out: Out = None,
    controller: Annotated[
        str | None, typer.Option(help="NAME or NAME:option=value:option=value, instead of the scenario's.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the scenario's.")] = None,
    sets: Sets = None,
    fail_on: Annotated[
        list[str] | None, typer.Option(help="End with exit code 1 if METRIC>NUMBER or METRIC<NUMBER comes true.")
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    data_root: DataRoot = None,
) -> None:
    """Run one scenario and write its records, summary and figures."""
    use_data_root(data_root)
    from hwsim import pipeline
    from hwsim.fail_on import parse_limits
    from hwsim.report.terminal import SECTIONS, print_summary

    limits = parse_limits(fail_on or (), (metric for section in SECTIONS.values() for metric in section))
    planned = pipeline.plan(scenario, controller=controller, seed=seed, sets=sets or ())
    changed = f"-{planned.run_id[:8]}" if sets else ""  # so that a what-if run leaves its baseline alone
    name = f"{planned.scenario.name}-{planned.controller}{changed}"
    folder = out or pipeline.run_folder(Path("runs"), name, planned.scenario.seed)
    with progress_bar(quiet=quiet or as_json) as progress:
        summary = pipeline.run(planned, folder, progress=progress)
    if as_json:
        print(json.dumps(summary, indent=1))
    elif not quiet:
        print_summary(summary)
        print(f"Results in {folder}")
    if summary.get("interrupted"):
        print(f"interrupted: the frames finished so far are in {folder}", file=sys.stderr)
        raise typer.Exit(130)
    crossed = [f"{limit} ({summary[limit.metric]})" for limit in limits if limit.is_crossed(summary)]
    if crossed:
        print(f"limit crossed: {', '.join(crossed)}", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def replay(
    folder: Annotated[Path, typer.Argument(help="A run folder.")],
    frame: Annotated[int | None, typer.Option(help="Only this frame.")] = None,
    decisions: Annotated[
        bool, typer.Option("--decisions", help="Instead, ask the controller again what it was asked.")
    ] = False,
    controller: Annotated[
        str | None, typer.Option(help="With --decisions: who is asked [the run's; a class must be named].")
    ] = None,
    as_json: AsJson = False,
    data_root: DataRoot = None,
) -> None:
    """Recompute recorded predictions, or with --decisions what was decided, and say whether they hold."""
    use_data_root(data_root)
    if decisions:
        if frame is not None:
            raise ConfigurationError("hwsim replay: --decisions asks about the whole run: leave --frame out")
        _replay_decisions(folder, controller, as_json=as_json)
        return
    if controller is not None:
        raise ConfigurationError("hwsim replay: --controller goes with --decisions")
    from hwsim.errors import InvariantError
    from hwsim.replay import replay as replay_run

    result = replay_run(folder, frame=frame)
    if as_json:
        print(json.dumps(dataclasses.asdict(result)))
    if result.differing:
        shown = ", ".join(map(str, result.differing[:10]))
        raise InvariantError(
            f"{folder}: predictions of {len(result.differing)} of {result.frames} frames do not hold: {shown}"
        )
    if not as_json:
        print(
            f"Predictions hold: {result.inputs} inputs in {result.frames} frames under {result.assignments} "
            f"assignments, {result.mixed_frames} frames with mixed bits."
        )


def _replay_decisions(folder: Path, controller: str | None, *, as_json: bool) -> None:
    from hwsim.decision_replay import replay_decisions
    from hwsim.errors import InvariantError

    result = replay_decisions(folder, controller=controller)
    if as_json:
        print(json.dumps(dataclasses.asdict(result)))
    if result.differing:
        first = min(result.differing, key=lambda each: each.time_picoseconds)
        raise InvariantError(
            f"{folder}: stream {first.stream}: the decision at {first.time_picoseconds / 1e12:.6f} s does not hold: "
            f"{first.told}"
        )
    if not as_json:
        print(f"Decisions hold: {result.decided} of {result.asked} questions were answered with one.")
        for stream, time in result.failed_picoseconds.items():
            print(f"The controller of stream {stream} failed in the run at {time / 1e12:.6f} s; asked until then.")


@app.command()
def compare(
    scenario: Annotated[str, typer.Argument(help="A scenario's packaged name or path.")],
    controllers: Annotated[
        str | None,
        typer.Option(help="Comma-separated, each NAME or NAME:option=value:... [static at every width, hysteresis]."),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="Give differences from this one of the controllers, with 95 % intervals.")
    ] = None,
    replications: Annotated[int, typer.Option(min=1, help="Seeds per controller.")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the runs [runs/compare-SCENARIO].")] = None,
    sets: Sets = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    data_root: DataRoot = None,
) -> None:
    """Run a scenario under several controllers and seeds, and put them side by side."""
    use_data_root(data_root)
    from hwsim.replications import compare_controllers, default_controllers
    from hwsim.report.terminal import print_comparison

    # A comma within brackets is part of a list: hysteresis:rungs=[8,4],static
    given = None if controllers is None else [
        name.strip() for name in re.split(r",(?![^\[]*\])", controllers) if name.strip()
    ]  # fmt: skip
    names = default_controllers(scenario, sets or ()) if given is None else given
    folder = out or Path("runs") / f"compare-{Path(scenario).stem}"
    with progress_bar(quiet=quiet or as_json) as progress:
        comparison = compare_controllers(
            scenario,
            names,
            replications=replications,
            jobs=jobs,
            folder=folder,
            sets=sets or (),
            baseline=baseline,
            progress=progress,
        )
    if as_json:
        print((folder / "comparison.json").read_text(encoding="utf-8"), end="")
    elif not quiet:
        print_comparison(comparison)
        print(f"Results in {folder}")


@app.command()
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


profiles_app = typer.Typer(
    help="The profiles of devices and arrays.", invoke_without_command=True, rich_markup_mode=None
)
app.add_typer(profiles_app, name="profiles")


@profiles_app.callback()
def profiles(context: typer.Context) -> None:
    """List the packaged profiles, of devices and of arrays."""
    if context.invoked_subcommand is None:
        from hwsim.config.array_profile import load_any_profile
        from hwsim.config.packaged import packaged_names
        from hwsim.config.provenance import count_assumptions, provenance

        for name in (*packaged_names("profiles"), *packaged_names("profiles/arrays")):
            profile = load_any_profile(name)
            numbers = len(provenance(profile))
            print(f"{name}: {profile.description} ({numbers} numbers, {count_assumptions(profile)} assumed)")


@profiles_app.command("show")
def show_profile(name: Annotated[str, typer.Argument(help="Packaged name or path.")]) -> None:
    """Print every number of a profile with its source, or why it was assumed and in which range."""
    from hwsim.config.array_profile import load_any_profile
    from hwsim.config.provenance import provenance
    from hwsim.report.terminal import print_provenance

    print_provenance(provenance(load_any_profile(name)))


@app.command()
def controllers() -> None:
    """List the controllers and their options."""
    from hwsim.report.terminal import print_controllers

    print_controllers()


@app.command()
def cost(
    array: Annotated[str | None, typer.Option(help="Array model [the profile's].")] = None,
    layers: Annotated[Path | None, typer.Option(help="Layer table (CSV).")] = None,
    network: Annotated[str | None, typer.Option(help="Network, instead of a layer table.")] = None,
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
            help="With --network: count the cycles of an array that skips work from the values of each of the first "
            "--inputs test inputs of this set, instead of pricing its bound."
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
            help="Device or array profile: array, memory, energy, clock [bismo_pynq_z1; bitfusion has its own]."
        ),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="Array parameter: rows=16; or a value of the profile: profile.PATH=VALUE."),
    ] = None,
    total: Annotated[bool, typer.Option("--total", help="Add a last row: the sums over all layers.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with the energy of each action.")] = False,
) -> None:
    """Print cycles, traffic, energy, utilisation and seconds per layer as CSV; with --data the cycles of inputs.

    With --training, a row per layer and product of a training step.
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


@app.command()
def thermal(
    floorplan: Annotated[Path, typer.Option(help="HotSpot's floorplan, chip.flp.")],
    config: Annotated[Path, typer.Option(help="HotSpot's configuration, hotspot.config.")],
    power: Annotated[Path, typer.Option(help="HotSpot's power trace, power.ptrace.")],
    steady: Annotated[
        bool, typer.Option("--steady", help="One row: the steady state at the trace's mean power.")
    ] = False,
    all_nodes: Annotated[
        bool, typer.Option("--all-nodes", help="Columns for interface, spreader and sink, too.")
    ] = False,
) -> None:
    """Print temperatures (kelvin) of HotSpot's input files as CSV: exact, a row for the end of each interval."""
    from hwsim.hotspot.temperatures import temperatures_csv

    print(temperatures_csv(floorplan, config, power, steady=steady, all_nodes=all_nodes), end="")


@app.command()
def area(
    rows: Annotated[int, typer.Option(help="Dm, rows of dot-product units.")],
    depth: Annotated[int, typer.Option(help="Dk, lanes of a unit.")],
    columns: Annotated[int, typer.Option(help="Dn, columns of units.")],
    as_json: AsJson = False,
) -> None:
    """Count the gates of a BISMO array, synthesised by Yosys (extra rtl; the first run takes minutes)."""
    from hwsim.cost.arrays import Bismo
    from hwsim.rtl.area import estimate_area

    estimate = estimate_area(Bismo(rows=rows, depth=depth, columns=columns))
    print(estimate.to_json() if as_json else estimate.to_text())


@app.command()
def schema(
    kind: Annotated[str, typer.Argument(help="scenario, recipe, profile (of a device), array_profile or energy_table")],
) -> None:
    """Print the JSON schema of a document, for editors."""
    from hwsim.config.schema import schema_of

    print(schema_of(kind))


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Write report.html, figures and timeline.pftrace anew from the records of a run."""
    from hwsim.records.store import RunFolder
    from hwsim.report.page import write_page
    from hwsim.report.run_figures import write_run_figures
    from hwsim.report.timeline import write_timeline

    run = RunFolder(folder)
    for path in (*write_run_figures(run), write_timeline(run), write_page(run)):
        print(path)


@app.command()
def digest(folder: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Print a hash of a run's records, floats to 12 digits, to compare runs across machines."""
    from hwsim.records.store import digest as digest_run

    print(digest_run(folder))


def main() -> None:
    """Run the command line; errors are one line on stderr and an exit code, never a traceback."""
    try:
        app(prog_name="hwsim", standalone_mode=True)
    except HwsimError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BitmixerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
