"""``hwsim replay``: whether what a run recorded holds."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from bitmixer.data_folder import use_data_root
from hwsim.commands.options import AsJson, DataRoot
from hwsim.errors import ConfigurationError


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
