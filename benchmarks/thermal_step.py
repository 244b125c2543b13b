"""Time one recorded segment, and one plant step over the 21 layers of a frame on two thermal nodes."""

from __future__ import annotations

from timeit import repeat

import numpy as np

from hwsim.plant.ambient import Ambient
from hwsim.plant.parameters import PlantParameters
from hwsim.plant.plant import Plant
from hwsim.plant.power import Leakage
from hwsim.plant.thermal import ThermalNetwork

LAYERS, LAYER_PICOSECONDS, STEPS = 21, 150_000_000, 2000


def example_plant() -> Plant:
    """Return a plant of invented numbers: only its size matters to the time."""
    network = ThermalNetwork(
        nodes=("die", "board"),
        capacities_joules_per_kelvin=np.array([0.6, 31.0]),
        conductances_watts_per_kelvin=np.array([[0.0, 0.19], [0.19, 0.0]]),
        ambient_conductances_watts_per_kelvin=np.array([0.0, 0.1]),
    )
    return Plant(
        PlantParameters(
            network=network,
            ambient=Ambient.constant(25.0),
            leakage=Leakage(power_watts=0.178, reference_celsius=52.6, slope_per_kelvin=0.0185, node="die"),
            constant_powers_watts=np.array([0.9, 0.0, 0.3]),
            energy_rows_joules=np.vstack([np.zeros(3), np.full((LAYERS, 3), 1e-4)]),
        )
    )


def record_frame(plant: Plant) -> int:
    for layer in range(1, LAYERS + 1):
        plant.record(layer, LAYER_PICOSECONDS)
    return plant.time_picoseconds + LAYERS * LAYER_PICOSECONDS


def main() -> None:
    plant = example_plant()
    frame = min(repeat(lambda: plant.advance_to(record_frame(plant)), number=STEPS, repeat=5)) / STEPS
    unread = example_plant()
    record = min(repeat(lambda: record_frame(unread), number=STEPS, repeat=5)) / STEPS
    print(f"record      {record / LAYERS * 1e6:6.2f} us per segment")
    print(f"advance_to  {(frame - record) * 1e6:6.2f} us per frame of {LAYERS} segments")


if __name__ == "__main__":
    main()
