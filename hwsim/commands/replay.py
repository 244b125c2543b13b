"""``hwsim replay``: whether what a run recorded holds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from bitmixer.command_line import AsJson, Quiet, print_json
from bitmixer.data_folder import use_data_root
from hwsim.commands import completion
from hwsim.commands.options import DataRoot, Folder
from hwsim.errors import ConfigurationError


def replay(
    folder: Folder,
    frame: Annotated[int | None, typer.Option(help="Only this frame.")] = None,
    decisions: Annotated[
        bool, typer.Option("--decisions", help="Instead, ask the controller again what it was asked.")
    ] = False,
    controller: Annotated[
        str | None,
        typer.Option(
            autocompletion=completion.controllers,
            help="With --decisions: who is asked [the run's; a class must be named].",
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    data_root: DataRoot = None,
) -> None:
    """Recompute what a run recorded, and say whether it holds.

    Its predictions from the recorded bits, or with --decisions what its controller decided.

    Examples:
        hwsim replay runs/thermal_throttle-hysteresis-s1
        hwsim replay runs/thermal_throttle-hysteresis-s1 --frame 12
        hwsim replay runs/thermal_throttle-hysteresis-s1 --decisions
    """
    use_data_root(data_root)
    if decisions:
        if frame is not None:
            raise ConfigurationError("hwsim replay: --decisions asks about the whole run: leave --frame out")
        _replay_decisions(folder, controller, quiet=quiet, as_json=as_json)
        return
    if controller is not None:
        raise ConfigurationError("hwsim replay: --controller goes with --decisions")
    from hwsim.errors import InvariantError
    from hwsim.replay import replay as replay_run

    result = replay_run(folder, frame=frame)
    if as_json:
        print_json(dataclasses.asdict(result))
    if result.differing:
        shown = ", ".join(map(str, result.differing[:10]))
        raise InvariantError(
            f"{folder}: predictions of {len(result.differing)} of {result.frames} frames do not hold: {shown}"
        )
    if not (as_json or quiet):
        print(
            f"Predictions hold: {result.inputs} inputs in {result.frames} frames under {result.assignments} "
            f"assignments, {result.mixed_frames} frames with mixed bits."
        )


def _replay_decisions(folder: Path, controller: str | None, *, quiet: bool, as_json: bool) -> None:
    from hwsim.decision_replay import replay_decisions
    from hwsim.errors import InvariantError

    result = replay_decisions(folder, controller=controller)
    if as_json:
        print_json(dataclasses.asdict(result))
    if result.differing:
        first = min(result.differing, key=lambda each: each.time_picoseconds)
        raise InvariantError(
            f"{folder}: stream {first.stream}: the decision at {first.time_picoseconds / 1e12:.6f} s does not hold: "
            f"{first.told}"
        )
    if not (as_json or quiet):
        print(f"Decisions hold: {result.decided} of {result.asked} questions were answered with one.")
        for stream, time in result.failed_picoseconds.items():
            print(f"The controller of stream {stream} failed in the run at {time / 1e12:.6f} s; asked until then.")
