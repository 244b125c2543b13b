"""Walk through one frame whose bits changed in its middle; prints Markdown.

Usage:
    python -m hwsim run scenarios/thermal_throttle.yaml --out runs/walk
    python docs/examples/mid_frame.py runs/walk > docs/mid_frame.md
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from hwsim.records.store import RunFolder

PICOSECONDS_PER_MILLISECOND = 10**9


def main() -> None:
    run = RunFolder(Path(sys.argv[1]))
    print(walk(run, chosen_decision(run)))


def chosen_decision(run: RunFolder) -> dict[str, Any]:
    """Return the decision that took bits away from a frame on the array nearest to its middle."""
    sites = len(run.graph.layers)

    def position(row: dict[str, Any]) -> int:
        return run.graph.index[row["next_layer"]]

    found = [
        row
        for row in run.table("decisions").to_pylist()
        if row["frame"] >= 0 and row["next_layer"] and row["bits_after"] < row["bits_before"] and position(row) >= 2
    ]
    if not found:
        raise SystemExit("no decision of this run changed a frame in its middle")
    return min(found, key=lambda row: abs(position(row) - sites // 2))


def walk(run: RunFolder, decision: dict[str, Any]) -> str:
    """Return the story of the frame that a decision changed."""
    frame = only(run, "frames", decision["frame"])[0]
    layers = only(run, "layers", decision["frame"])
    asked, effective = decision["time_picoseconds"], decision["effective_picoseconds"]
    readings = run.table("telemetry", ["time_picoseconds", "die_reading_celsius", "junction_celsius", "queued_frames"])
    reading = readings.filter(pc.less_equal(readings["time_picoseconds"], asked)).slice(0).to_pylist()[-1]
    running = next(row for row in layers if row["start_picoseconds"] <= effective < row["finish_picoseconds"])
    start = frame["start_picoseconds"]

    def at(time: int) -> str:
        return f"{(time - start) / PICOSECONDS_PER_MILLISECOND:+.3f} ms"

    wanted = json.loads(decision["assignment"])
    rows = "\n".join(layer_row(run, row, decision, wanted, at) for row in layers)
    on_time = "on time" if frame["status"] == "on_time" else frame["status"].replace("_", " ")
    slack = (frame["deadline_picoseconds"] - frame["finish_picoseconds"]) / PICOSECONDS_PER_MILLISECOND
    right = sum(a == b for a, b in zip(frame["predictions"], frame["labels"], strict=True))
    return f"""# One frame whose bits changed in its middle

Frame {frame["frame"]} of `{run.manifest["scenario_name"]}` (controller `{run.manifest["controller"]}`, seed \
{run.manifest["seed"]}), {frame["arrival_picoseconds"] / 1e12:.3f} s into the run. Times are relative to the issue of its \
first layer. This page is written by `docs/examples/mid_frame.py` from the records of a run.

1. **Reading.** The last telemetry before the decision ({at(reading["time_picoseconds"])}): the sensor says \
{reading["die_reading_celsius"]:.2f} degC, the die is truly at {reading["junction_celsius"]:.2f} degC.
2. **Decision.** At {at(asked)} the controller is asked and decides: *{decision["reason"]}*. Thinking takes \
{(effective - asked) / PICOSECONDS_PER_MILLISECOND:.3f} ms, so the decision takes effect at {at(effective)}. Mean wanted \
weight bits go from {decision["bits_before"]:.2f} to {decision["bits_after"]:.2f}.
3. **Commit.** At that moment `{running["layer"]}` is on the array. It and the layers whose widths its results already \
depend on are committed and keep their bits; the first layer that the decision can bind is `{decision["next_layer"]}`.
4. **Outcome.** The frame ends {on_time}, {slack:.2f} ms before its deadline; {right} of {len(frame["labels"])} crops are \
classified right, by the real network under exactly these bits. \
`python -m hwsim replay DIR --frame {frame["frame"]}` computes them again.

| layer | starts | bits | results drain at | cycles | norm fetched again | |
|---|--:|--:|--:|--:|:-:|---|
{rows}

Look at the layer *before* the first changed one: it still ran at its old bits, but its results drained at the new
width, because the accelerator requantises them for their key consumer. Its norm is the one of that transition, and so had
to be fetched."""


def layer_row(run: RunFolder, row: dict[str, Any], decision: dict[str, Any], wanted: dict[str, Any], at: Any) -> str:
    """Return one line of the table."""
    position = run.graph.index[row["layer"]]
    first = run.graph.index[decision["next_layer"]]
    remark = ""
    if run.graph.layers[position].pinned:
        remark = "pinned"
    elif row["start_picoseconds"] <= decision["effective_picoseconds"] < row["finish_picoseconds"]:
        remark = "on the array when the decision takes effect"
    elif position == first:
        remark = "first layer that it binds"
    elif position < first and wanted[row["layer"]] != [row["weight_bits"], row["activation_bits"]]:
        remark = "committed before"
    bits = f"w{row['weight_bits']}a{row['activation_bits']}"
    reload = "yes" if row["norm_reload"] else ""
    return (
        f"| `{row['layer']}` | {at(row['start_picoseconds'])} | {bits} | {row['next_activation_bits']} | "
        f"{row['cycles']:,} | {reload} | {remark} |"
    )


def only(run: RunFolder, name: Any, frame: int) -> list[dict[str, Any]]:
    """Return the rows of a table that belong to a frame."""
    table = run.table(name)
    return list(table.filter(pc.equal(table["frame"], frame)).to_pylist())


if __name__ == "__main__":
    main()
