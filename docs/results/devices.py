"""Measures what docs/results/devices.md says of the device profiles, and writes that page.

Usage (a minute on one core):
    python docs/results/devices.py measure   # prices networks, runs devices until they throttle; writes devices.json
    python docs/results/devices.py page      # writes devices.md from it
"""

from __future__ import annotations

import json
import math
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TWIN, PAGE = HERE / "devices.json", HERE / "devices.md"
BITS = 8
GLASSES_ENGINE_SECONDS = 17e-3
THROTTLING = {
    "edge_tpu_module": {"ambient": 40, "inputs": 32, "seconds": 300},
    "rk3588_npu": {"ambient": 60, "inputs": 64, "seconds": 300},
    "phone": {"ambient": 25, "inputs": 200, "seconds": 1200},
}
"""Ambient in degC, inputs of a frame and time for which resnet18 runs without a pause."""


def graph(architecture: str) -> Any:
    """Return the layer graph of an architecture in its source's form, every layer at 8 bits."""
    import torch

    import bitmixer
    from bitmixer.networks.registry import ARCHITECTURES, create

    form = ARCHITECTURES[architecture]
    network = create(architecture, input_channels=form.input_shape[0], classes=form.classes)
    return bitmixer.capture(
        bitmixer.convert(network, bits=(BITS,)), torch.zeros(1, *form.input_shape), name=architecture
    )


def priced(profile: str, layers: Any) -> dict[str, Any]:
    """Return one inference on a device at each operating point, with the energy of every action in uJ."""
    from hwsim.config.profile import load_profile
    from hwsim.device import build_device
    from hwsim.plant.power import dynamic_energy_scale

    numbers = load_profile(profile)
    device = build_device(numbers)
    table, assignment = device.cost_table(layers, 1), layers.uniform(BITS)
    counts = dict.fromkeys(table.counts, 0)
    for site in range(len(layers.layers)):
        for action, count in table.counts.items():
            counts[action] += int(count[site, 0, 0, 0, 0])
    at_rest = math.fsum(device.constant_powers_watts) + device.leakage.watts_at(25.0)
    points = []
    for index, point in enumerate(device.operating_points.points):
        cycles = table.frame_cycles(assignment, index)
        seconds = cycles / point.frequency_hertz
        scale = dynamic_energy_scale(point.voltage_volts, device.nominal_voltage_volts)
        terms = {
            action: 1e6 * scale * count * device.energy_table.joules_per_action(action)
            for action, count in counts.items()
        } | {"at_rest": 1e6 * at_rest * seconds}
        points.append({
            "megahertz": point.frequency_hertz / 1e6, "volts": point.voltage_volts, "cycles": cycles,
            "milliseconds": 1e3 * seconds, "microjoules": math.fsum(terms.values()), "terms": terms,
        })  # fmt: skip
    extremes = [
        math.fsum(
            1e6 * counts[entry.per] * (entry.range[end] if entry.range else entry.value)
            for entry in numbers.energy.values()
        )
        for end in (0, 1)
    ]
    return {
        "network": layers.network, "macs": sum(layer.macs for layer in layers.layers), "counts": counts,
        "range_microjoules": extremes, "points": points,
    }  # fmt: skip


def full_load(profile: str) -> dict[str, float]:
    """Return what the array draws when it works all the time at its fastest clock, and the device at rest at 50 degC."""
    from hwsim.config.profile import load_profile
    from hwsim.cost.full_load import full_load_joules_per_cycle
    from hwsim.device import build_device

    device = build_device(load_profile(profile))
    hertz = device.frequencies_hertz[0]
    found = {
        "array_watts": full_load_joules_per_cycle(device.array, device.energy_table) * hertz,
        "rest_watts": math.fsum(device.constant_powers_watts) + device.leakage.watts_at(50.0),
        "megahertz": hertz / 1e6,
    }
    if device.battery is not None:
        found["battery_joules"] = device.battery.battery.capacity_joules
    return found


def bismo() -> float:
    """Return the binary TOPS of the PYNQ-Z1 profile."""
    from hwsim.config.profile import load_profile

    profile = load_profile("bismo_pynq_z1")
    lanes = math.prod(int(size) for size in profile.array.parameters().values())
    return 2 * lanes * max(point.frequency_hertz.value for point in profile.operating_points.points) / 1e12


def unpu(bits: int) -> dict[str, float]:
    """Return peak GOPS and TOPS/W of the UNPU profile at weights of ``bits`` and 16-bit activations."""
    import numpy as np

    from hwsim.config.profile import load_profile
    from hwsim.cost.arrays.base import LayerShapes
    from hwsim.cost.full_load import FILLING
    from hwsim.device import build_device

    device = build_device(load_profile("unpu_65nm"))
    shapes = LayerShapes.of([FILLING], inputs_per_frame=1, trailing_axes=0)
    widths = np.array([bits]), np.array([16])
    cycles = int(device.array.compute_cycles(shapes, *widths).item())
    joules = float(device.energy_table.energy_joules(device.array.action_counts(shapes, *widths)).item())
    peak = 2 * float(device.array.peak_macs_per_cycle(*widths).item()) * device.frequencies_hertz[0] / 1e9
    return {"gops": peak, "tops_per_watt": 2 * int(shapes.macs.item()) / joules / 1e12, "cycles": cycles}


def throttled(profile: str, *, ambient: int, inputs: int, seconds: int) -> dict[str, Any]:
    """Run resnet18 without a pause and return when the device first caps its clock, and how warm its sensor's node is."""
    from hwsim import pipeline
    from hwsim.records.store import RunFolder

    sets = [
        f"profile={profile}", "streams.0.network=resnet18", "streams.0.data=null", "outputs=none",
        f"streams.0.inputs_per_frame={inputs}", "streams.0.arrivals={kind: periodic, period: 10 ms}",
        f"environment={{ambient: {{kind: constant, temperature: {ambient} degC}}}}", f"duration={seconds} s",
        "queue={capacity: 2, drop_expired: false}", "initial_state=ambient", "telemetry_period=500 ms",
        *(["initial_state_of_charge=1"] if profile == "phone" else []),
    ]  # fmt: skip
    planned = pipeline.plan("thermal_throttle", controller="static", sets=sets)
    with tempfile.TemporaryDirectory() as folder:
        summary = pipeline.run(planned, Path(folder) / "run", figures=False)
        table = RunFolder(Path(folder) / "run").table("telemetry").to_pydict()
    node = planned.device.thermal_network.nodes[planned.device.sensor_node]
    times, warm = [time / 1e12 for time in table["time_picoseconds"]], table[f"{node}_celsius"]
    caps, top = table["throttle_cap_hertz"], planned.device.frequencies_hertz[0]
    first = next((row for row, cap in enumerate(caps) if cap < top), None)
    after_600 = next((value for time, value in zip(times, warm, strict=True) if time >= 600), None)
    return {
        "ambient_celsius": ambient, "busy_share": summary["busy_share"], "node": node,
        "seconds": None if first is None else times[first],
        "celsius": None if first is None else max(warm[: first + 1]),  # the clock is lower in that row already
        "cap_megahertz": None if first is None else caps[first] / 1e6,
        "peak_celsius": max(warm), "mean_watts": summary["energy_joules"] / summary["simulated_seconds"],
        "celsius_after_600_seconds": after_600,
    }  # fmt: skip


def prices() -> dict[str, Any]:
    """Return everything that needs no run."""
    return {
        "bismo": {"binary_tops": bismo()},
        "gap9": priced("gap9", graph("resnet8")),
        "edge_tpu_module": priced("edge_tpu_module", graph("mobilenetv2")),
        "full_load": {name: full_load(name) for name in ("edge_tpu_module", "wearable", "phone", "rk3588_npu")},
        "unpu": {str(bits): unpu(bits) for bits in (16, 1)},
    }


def measure() -> None:
    """Write the twin."""
    from hwsim import provenance

    found = {
        "command": "python docs/results/devices.py measure",
        "machine": f"{platform.machine()}, CPU, " + ", ".join(map(" ".join, provenance.versions().items())),
        "seed": 1,
        **prices(),
        "throttled": {name: throttled(name, **run) for name, run in THROTTLING.items()},
    }
    TWIN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


sys.path.insert(0, str(HERE))
from devices_page import written  # noqa: E402


def page() -> None:
    """Write the page."""
    PAGE.write_text(written(json.loads(TWIN.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    commands: dict[str, Callable[[], None]] = {"measure": measure, "page": page}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]]()
