"""Measures what docs/results/thermal_throttle.md says, and writes that page from the figures.

Usage (about ten minutes on two cores; runs that are there are not repeated):
    python docs/results/thermal_throttle.py measure   # writes thermal_throttle.json
    python docs/results/thermal_throttle.py page      # writes thermal_throttle.md from it
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
TWIN = HERE / "thermal_throttle.json"
RUNS = Path("runs")
CONTROLLERS = ("static", "static:bits=4", "static:bits=3", "static:bits=2", "hysteresis")
REPLICATIONS = 5
RANDOM_ASSIGNMENTS = 50
SLOWEST_FRAMES = 30
THETA = {"11.5 K/W": (4.03, 7.47), "15 K/W": (5.25, 9.75), "18.2 K/W": (6.37, 11.83)}
"""Junction to ambient: junction to board, board to ambient; 35 % and 65 % as in the profile."""
CAPS = {
    "low caps": ("62.5 MHz", "25 MHz"),
    "profile's caps": ("100 MHz", "50 MHz"),
    "high caps": ("125 MHz", "62.5 MHz"),
}
CORNERS = (
    ("15 K/W", 0, "profile's caps"),
    ("11.5 K/W", 0, "profile's caps"),
    ("18.2 K/W", 0, "profile's caps"),
    ("15 K/W", -5, "profile's caps"),
    ("15 K/W", 5, "profile's caps"),
    ("15 K/W", 0, "low caps"),
    ("15 K/W", 0, "high caps"),
    ("11.5 K/W", 5, "high caps"),
    ("18.2 K/W", -5, "low caps"),
)
CORNER_CONTROLLERS = ("static", "static:bits=2", "hysteresis")
SHOWN = (
    ("accuracy", "right, of completed", 100, "%"),
    ("correct_on_time_rate", "right and on time, of arrived", 100, "%"),
    ("deadline_miss_rate", "missed deadlines", 100, "%"),
    ("energy_per_input_joules", "energy per input", 1e3, "mJ"),
    ("peak_die_temperature_celsius", "hottest", 1, "degC"),
    ("throttled_seconds", "throttled", 1, "s"),
    ("mean_weight_bits", "mean bits", 1, ""),
)


def measure() -> None:
    from hwsim import provenance

    results = {
        "machine": f"{platform.machine()}, CPU, " + ", ".join(map(" ".join, provenance.versions().items())),
        "network": _timed("network", network),
        "comparison": _timed("comparison", comparison),
        "boundary": _timed("boundary", boundary),
        "corners": _timed("corners", lambda: list(corners())),
    }
    TWIN.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def network() -> dict[str, Any]:
    """Accuracy of the scenario's network on the scenario's data, per width and over random assignments."""
    from bitmixer.evaluation import evaluate
    from hwsim import pipeline
    from hwsim.outputs import LoadedNetwork

    planned = pipeline.plan("thermal_throttle")
    data = planned.scenario.streams[0].data
    assert data is not None
    loaded = LoadedNetwork(planned.streams[0].checkpoint, data)
    everything = np.arange(len(loaded.labels))
    right = {
        bits: loaded.predict([loaded.graph.uniform(bits)[layer.name] for layer in loaded.graph.layers], everything)
        == loaded.labels
        for bits in loaded.graph.uniform_bits
    }
    gain = right[max(right)].astype(float) - right[min(right)]
    random = evaluate(loaded.network, loaded.graph, data, random_assignments=RANDOM_ASSIGNMENTS, seed=1).as_dict()
    return {
        "command": f"bitmixer evaluate {planned.streams[0].checkpoint.name} --data {data} --random {RANDOM_ASSIGNMENTS} --seed 1",
        "network": planned.streams[0].checkpoint.name,
        "data": data,
        "inputs": len(loaded.labels),
        "uniform": {str(bits): float(hits.mean()) for bits, hits in right.items()},
        "highest_minus_lowest": float(gain.mean()),
        "standard_error": float(gain.std() / len(gain) ** 0.5),
        "random": random["random"],
    }


def comparison() -> dict[str, Any]:
    from hwsim.replications import compare_controllers

    result = compare_controllers(
        "thermal_throttle", CONTROLLERS, replications=REPLICATIONS, jobs=2, folder=RUNS / "compare-thermal_throttle"
    )
    command = f"hwsim compare thermal_throttle --controllers {','.join(CONTROLLERS)} --replications {REPLICATIONS}"
    return {"command": command, **json.loads(result.to_json())}


def boundary() -> dict[str, Any]:
    """The same runs with decisions that bind only frames that have not begun."""
    found = {}
    for decisions in ("mid_frame", "frame_boundary"):
        summary = _run(f"decisions-{decisions}", "hysteresis", [f"decisions={decisions}"])
        keys = (
            "deadline_miss_rate",
            "latency_p99_seconds",
            "energy_joules",
            "mid_frame_switches",
            "mixed_frames",
            "accuracy",
        )
        found[decisions] = {key: summary[key] for key in keys} | _slowest(f"decisions-{decisions}", "hysteresis")
    return {"command": "hwsim run thermal_throttle --set decisions=mid_frame|frame_boundary", "seed": 1, **found}


def _slowest(name: str, controller: str) -> dict[str, float]:
    """Return the mean latency of the slowest frames: those that met a burst."""
    from hwsim.records.store import RunFolder

    columns = ("finish_picoseconds", "arrival_picoseconds")
    frames = RunFolder(_folder(name, controller)).table("frames", columns)
    finish, arrival = (frames[column].to_numpy() for column in columns)
    slowest = np.sort(finish - arrival)[-SLOWEST_FRAMES:]
    return {f"mean_latency_of_slowest_{SLOWEST_FRAMES}_frames_seconds": float(slowest.mean()) / 1e12}


def corners() -> Iterator[dict[str, Any]]:
    """The story over the range of what is assumed about package and throttle."""
    for theta, shift, caps in CORNERS:
        sets = ["outputs=none", *_resistances(*THETA[theta]), *_trips(shift, *CAPS[caps])]
        row: dict[str, Any] = {"theta": theta, "trips_shifted_kelvin": shift, "caps": caps}
        for controller in CORNER_CONTROLLERS:
            summary = _run("corner", controller, sets)
            row[controller] = {
                key: summary[key] for key in ("deadline_miss_rate", "throttled_seconds", "peak_die_temperature_celsius")
            }
        yield row


def _resistances(junction_to_board: float, board_to_ambient: float) -> list[str]:
    values = enumerate((junction_to_board, board_to_ambient))
    return [f"profile.thermal.links.{link}.resistance.value={value} K/W" for link, value in values]


def _trips(shift: int, first_cap: str, second_cap: str) -> list[str]:
    sets = []
    for trip, (celsius, cap) in enumerate(((80, first_cap), (85, second_cap))):
        path = f"profile.throttling.trips.{trip}"
        sets += [
            f"{path}.temperature.value={celsius + shift} degC",
            f"{path}.resume.value={celsius - 5 + shift} degC",
            f"{path}.frequency_cap.value={cap}",
        ]
    return sets


def _run(name: str, controller: str, sets: list[str]) -> dict[str, Any]:
    from hwsim import pipeline

    planned = pipeline.plan("thermal_throttle", controller=controller, sets=sets)
    return pipeline.run(planned, _folder(name, controller), figures=False)


def _folder(name: str, controller: str) -> Path:
    from hwsim import pipeline

    return pipeline.run_folder(RUNS, f"{name}-{controller}", 1)


def _timed(name: str, measured: Any) -> Any:
    began = time.perf_counter()
    result = measured()
    print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return result


def page() -> None:
    found = json.loads(TWIN.read_text(encoding="utf-8"))
    text = "\n\n".join([_head(found), _network_section(found["network"]), _comparison_section(found["comparison"]),
                        _boundary_section(found["boundary"]), _corner_section(found["corners"])])  # fmt: skip
    (HERE / "thermal_throttle.md").write_text(text + "\n", encoding="utf-8")


def _head(found: dict[str, Any]) -> str:
    return (
        "# The scenario `thermal_throttle`, measured\n\nWritten by `thermal_throttle.py` from its twin `thermal_throttle.json`; "
        f"nothing is typed by hand. Machine: {found['machine']}."
    )


def _network_section(network: dict[str, Any]) -> str:
    uniform = " | ".join(f"{accuracy:.1%}" for accuracy in network["uniform"].values())
    widths = " | ".join(f"{bits} bit" for bits in network["uniform"])
    rule = "|".join(["--:"] * (len(network["uniform"]) + 3))
    mean = sum(network["uniform"].values()) / len(network["uniform"])
    random = network["random"]
    return f"""## The network alone

`{network["network"]}` on `{network["data"]}`, {network["inputs"]} test inputs. `{network["command"]}`

| {widths} | mean of uniform | {random["count"]} random assignments | worst of them |
|{rule}|
| {uniform} | {mean:.1%} | {random["mean"]:.1%} | {random["min"]:.1%} |

Highest against lowest width: {100 * network["highest_minus_lowest"]:+.1f} points, standard error (paired) \
{100 * network["standard_error"]:.2f} points. Mean of the random assignments against the mean of the uniform widths: \
{100 * (random["mean"] - mean):+.2f} points."""


def _comparison_section(comparison: dict[str, Any]) -> str:
    lines = [
        (
            f"## Controllers side by side\n\n{comparison['replications']} replications, means with 95 % intervals. "
            f"`{comparison['command']}`\n"
        ),
        "| controller | " + " | ".join(f"{title}{f' ({unit})' if unit else ''}" for _, title, _, unit in SHOWN) + " |",
        "|---|" + "--:|" * len(SHOWN),
    ]
    for name, metrics in comparison["controllers"].items():
        cells = [_interval(metrics[metric], scale) for metric, _, scale, _ in SHOWN]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _interval(metric: dict[str, float], scale: float) -> str:
    mean, low, high = (metric[key] * scale for key in ("mean", "low", "high"))
    return f"{mean:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{mean:.2f} ({low:.2f} - {high:.2f})"


def _boundary_section(boundary: dict[str, Any]) -> str:
    keys = list(boundary["mid_frame"])
    rows = "\n".join(
        f"| {decisions} | " + " | ".join(f"{boundary[decisions][key]:.6g}" for key in keys) + " |"
        for decisions in ("mid_frame", "frame_boundary")
    )
    return f"""## Decisions within a frame, or only between frames

`{boundary["command"]}`, seed {boundary["seed"]}

| decisions | {" | ".join(keys)} |
|---|{"--:|" * len(keys)}
{rows}"""


def _corner_section(corners: list[dict[str, Any]]) -> str:
    lines = [
        "## Over the range of what is assumed\n\nMissed deadlines / seconds throttled / hottest die, seed 1.\n",
        "| theta_JA | trips | caps | " + " | ".join(CORNER_CONTROLLERS) + " |",
        "|---|--:|---|" + "--:|" * len(CORNER_CONTROLLERS),
    ]
    for row in corners:
        cells = [
            f"{row[name]['deadline_miss_rate']:.1%} / {row[name]['throttled_seconds']:.0f} s / "
            f"{row[name]['peak_die_temperature_celsius']:.0f} degC"
            for name in CORNER_CONTROLLERS
        ]
        lines.append(
            f"| {row['theta']} | {row['trips_shifted_kelvin']:+d} K | {row['caps']} | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    {"measure": measure, "page": page}[sys.argv[1]]()
