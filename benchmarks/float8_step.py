"""A training step in eight-bit floats against one in real numbers, on ResNet-8.

Usage: ``python benchmarks/float8_step.py [--rounds 15] [--threads 1]``. Both networks train in one process on the same
batch (128 images, channels_last, SGD, loss scaled and master weights rounded in the one); rounds alternate the two, so
that a busy machine slows both, and the ratio is that of the median times. Both run as trainings do: small numbers
flushed to zero, freed memory kept. Prints JSON on stdout and a line per case on stderr; exit code 1 above the target.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from contextlib import AbstractContextManager

import torch
from torch.nn import functional as F

from bitmixer.allocation import keep_freed_memory
from bitmixer.networks import create
from bitmixer.training.arithmetic import Arithmetic
from bitmixer.training.float8 import Float8Arithmetic
from bitmixer.training.float8_settings import Float8
from bitmixer.training.optimizer import build_optimizer
from bitmixer.training.ranks import ALONE
from bitmixer.training.recipe import Stage, Training

BATCH = 128
STEPS = 2
TARGET = 1.6
STAGE = Stage(name="float", epochs=1, optimizer="sgd", learning_rate=1e-3)
TRAINING = Training(seed=0, batch_size=BATCH, stages=(STAGE, Stage(name="weights", epochs=1, learning_rate=1e-3)))
ARITHMETICS: dict[str, Float8 | None] = {
    "real numbers": None,
    "float8": Float8(),
    "float8, no layer exempt": Float8(exempt=()),
}


class Trainee:
    """A network, its arithmetic and its optimiser."""

    def __init__(self, settings: Float8 | None, precision: str) -> None:
        torch.manual_seed(0)
        network = create("resnet8", input_channels=3, classes=10, width=16)
        self.network = network.to(memory_format=torch.channels_last).train()
        self.inputs = torch.rand(BATCH, 3, 32, 32).to(memory_format=torch.channels_last)
        self.labels = torch.randint(0, 10, (BATCH,))
        self.arithmetic = (
            Arithmetic() if settings is None else Float8Arithmetic(self.network, settings, seed=0, ranks=ALONE)
        )
        self.arithmetic.begin_epoch(0)
        self.optimizer = build_optimizer(self.network, TRAINING, STAGE)
        self.precision = precision

    def products(self) -> AbstractContextManager[None]:
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.precision == "bfloat16")

    def seconds_per_step(self) -> float:
        began = time.perf_counter()
        for _ in range(STEPS):
            self.optimizer.zero_grad()
            with self.arithmetic.products(is_counted=False):
                with self.products():
                    logits = self.network(self.inputs)
                (F.cross_entropy(logits.float(), self.labels) * self.arithmetic.loss_scale).backward()
            self.arithmetic.step(self.optimizer, done=0.0)
        return (time.perf_counter() - began) / STEPS


def measure(precision: str, rounds: int) -> dict[str, float]:
    """Return the median milliseconds of a step in each arithmetic."""
    trainees = {name: Trainee(settings, precision) for name, settings in ARITHMETICS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in trainees}
    for number in range(rounds + 1):
        for name, trainee in trainees.items():
            taken = trainee.seconds_per_step()
            if number:  # first calls allocate
                seconds[name].append(taken)
    return {name: round(1e3 * statistics.median(taken), 2) for name, taken in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_flush_denormal(True)
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    results = []
    for precision in ("float32", "bfloat16"):
        milliseconds = measure(precision, arguments.rounds)
        real, *narrow = milliseconds.values()
        ratios = {name: round(taken / real, 3) for name, taken in zip(list(milliseconds)[1:], narrow, strict=True)}
        results.append({"products": precision, "milliseconds": milliseconds, "ratios": ratios})
        verdict = "ok" if max(ratios.values()) <= TARGET else f"above {TARGET}"
        print(f"{precision} products: {ratios}, step in real numbers {real} ms ({verdict})", file=sys.stderr)
    described = {"network": "resnet8 width 16", "batch": BATCH, "threads": arguments.threads}
    print(json.dumps({**described, "torch": torch.__version__, "results": results}, indent=1))
    if any(ratio > TARGET for result in results for ratio in result["ratios"].values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
