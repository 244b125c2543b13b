"""Training steps of a quantised ResNet-8 against the float network that it was converted from.

Usage: ``python benchmarks/training_speed.py [--rounds 15] [--threads 1 2]``. Both networks train in one process on the
same batch (128 images, channels_last, AdamW); rounds alternate the two, so that a busy machine slows both, and
the ratio of images per second is that of the median times. Every inner layer runs at 4 bits; weights,
activations and stored tensors are quantised. Both run as trainings do: small numbers flushed to zero, freed memory
kept. Prints JSON on stdout and a line per case on stderr.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitmixer import convert
from bitmixer.allocation import keep_freed_memory
from bitmixer.networks import create

BATCH = 128
STEPS = 2
BITS = 4
INPUTS = {"3x32x32": (3, 32, 32), "1x28x28": (1, 28, 28)}
TARGET = 0.75


class Trainee:
    """A network with its optimiser, both networks of a case on the same batch."""

    def __init__(self, network: nn.Module, inputs: Tensor, labels: Tensor) -> None:
        self.network = network.train()
        self.inputs, self.labels = inputs, labels
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def seconds_per_step(self) -> float:
        began = time.perf_counter()
        for _ in range(STEPS):
            self.optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(self.network(self.inputs), self.labels).backward()
            self.optimizer.step()
        return (time.perf_counter() - began) / STEPS


def trainees(shape: tuple[int, int, int]) -> tuple[Trainee, Trainee]:
    torch.manual_seed(0)
    inputs = torch.rand(BATCH, *shape).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (BATCH,))
    original = create("resnet8", input_channels=shape[0], classes=10, width=16)
    quantised = convert(original, [2, BITS, 8], signed_input=False).to(memory_format=torch.channels_last)
    quantised.calibrate_activations(inputs)
    quantised.calibrate_weights()
    quantised.quantize()
    quantised.assign(quantised.uniform(BITS))
    original = original.to(memory_format=torch.channels_last)
    return Trainee(original, inputs, labels), Trainee(quantised, inputs, labels)


def measure(shape: tuple[int, int, int], rounds: int) -> dict[str, float]:
    original, quantised = trainees(shape)
    seconds: tuple[list[float], list[float]] = ([], [])
    for trainee in (original, quantised):
        trainee.seconds_per_step()  # first calls allocate
    for _ in range(rounds):
        seconds[0].append(original.seconds_per_step())
        seconds[1].append(quantised.seconds_per_step())
    float_median, quantised_median = map(statistics.median, seconds)
    return {
        "float_images_per_second": round(BATCH / float_median),
        "quantised_images_per_second": round(BATCH / quantised_median),
        "ratio": round(float_median / quantised_median, 3),
        "ratio_of_fastest": round(min(seconds[0]) / min(seconds[1]), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    torch.set_flush_denormal(True)
    keep_freed_memory()
    results = []
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        for name, shape in INPUTS.items():
            row = {"input": name, "threads": threads, **measure(shape, arguments.rounds)}
            results.append(row)
            verdict = "ok" if row["ratio"] >= TARGET else f"below {TARGET}"
            print(
                f"{name}, {threads} thread(s): float {row['float_images_per_second']}, quantised "
                f"{row['quantised_images_per_second']} images/s, ratio {row['ratio']} ({verdict})",
                file=sys.stderr,
            )
    print(
        json.dumps(
            {
                "network": "resnet8 width 16",
                "batch": BATCH,
                "bits": BITS,
                "torch": torch.__version__,
                "results": results,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
