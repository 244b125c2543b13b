"""Convolutions of packed signs, and whole packed networks, against torch's float32 of the same shape.

Usage: ``python benchmarks/binary_kernels.py [--rounds 9] [--only layers|networks]``. One thread on both sides. A layer
is a 3x3 convolution with padding, from packed signs to packed signs by integer limits; ``with packing`` packs real
numbers first. A network is the whole of it, from images to logits, against the float network in evaluation:
convolutions, norms, activations. torch computes in both memory layouts, and the quicker counts. All take turns within a
round, so that a busy machine slows them alike; ratios are those of medians. Results are compared with float
convolutions of -1 and +1 first. Prints JSON on stdout and a line per case on stderr.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from bitmixer import convert
from bitmixer.kernels import Thresholds
from bitmixer.kernels.signs import CountLimits, SignKernels, SignMaps, signs_above, signs_of_products, sums_of_products
from bitmixer.networks import create
from bitmixer.packed.network import pack

LAYERS = [(64, 32, 4), (128, 32, 4), (128, 16, 8), (256, 16, 4), (256, 8, 8), (512, 8, 8)]
"""Channels in and out, height and width, inputs."""
NETWORKS = ["bcnn_plain", "bcnn", "bcnn_space_to_depth"]
WIDTH, BATCH = 128, 16
LAYER_TARGET, NETWORK_TARGET = 10.0, 3.0
"""How many times as fast as float32 a layer's product and a whole network should be, at 128 channels or more."""

Cases = dict[str, Callable[[], object]]


def layer_cases(channels: int, size: int, inputs: int) -> Cases:
    generator = np.random.default_rng(channels + size)
    values = generator.standard_normal((inputs, size, size, channels)).astype(np.float32)
    weights = generator.standard_normal((channels, 3, 3, channels)) >= 0
    maps = signs_above(values, np.zeros((channels, 1), dtype=np.float32))
    kernels = SignKernels(words=SignMaps.pack(weights).words, channels=channels, padding=(1, 1))
    levels = generator.integers(-9, 9, (channels, 1))
    thresholds = Thresholds(levels=levels, signs=np.ones(channels, dtype=np.int64), codes=np.array([-1, 1]))
    limits = CountLimits.of(thresholds, kernels.depth)
    signs = torch.from_numpy(np.where(values >= 0, np.float32(1), np.float32(-1))).permute(0, 3, 1, 2)
    real = torch.from_numpy(np.where(weights, np.float32(1), np.float32(-1))).permute(0, 3, 1, 2)
    expected = F.conv2d(F.pad(signs, [1] * 4, value=1.0), real).permute(0, 2, 3, 1).numpy()
    assert np.array_equal(sums_of_products(maps, kernels), expected)
    assert np.array_equal(signs_of_products(maps, kernels, limits).unpack(), expected >= levels[:, 0])

    def with_packing() -> object:
        packed = signs_above(values, np.zeros((channels, 1), dtype=np.float32))
        return signs_of_products(packed, kernels, limits)

    return {
        "packed": partial(signs_of_products, maps, kernels, limits),
        "with packing": with_packing,
        "to integers": partial(sums_of_products, maps, kernels),
        **{
            f"float32 {name}": partial(
                F.conv2d, signs.contiguous(memory_format=layout), real.contiguous(memory_format=layout), padding=1
            )
            for name, layout in (("nchw", torch.contiguous_format), ("nhwc", torch.channels_last))
        },
    }


def network_cases(name: str) -> Cases:
    torch.manual_seed(1)
    x = torch.rand(BATCH, 3, 32, 32)
    model = create(name, input_channels=3, classes=10, width=WIDTH)
    model.train()(x)
    twin = convert(model.eval(), [1], quantizer="binary", granularity="channel", pinned=["last"], signed_input=False)
    twin.eval().calibrate_activations(x)
    twin.calibrate_weights()
    twin.quantize()
    packed = pack(twin)
    assert torch.equal(packed(x), twin(x))

    def in_layout(layout: torch.memory_format) -> Callable[[], object]:
        ready: nn.Module = create(name, input_channels=3, classes=10, width=WIDTH).eval().to(memory_format=layout)
        return partial(ready, x.contiguous(memory_format=layout))

    layouts = {"float32 nchw": torch.contiguous_format, "float32 nhwc": torch.channels_last}
    return {"packed": partial(packed, x), **{label: in_layout(layout) for label, layout in layouts.items()}}


def medians(cases: Cases, rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each case."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for count in range(rounds + 1):
        for name, compute in cases.items():
            began = time.perf_counter()
            compute()
            if count:  # the first round compiles and warms up
                taken[name].append(1e3 * (time.perf_counter() - began))
    return {name: statistics.median(milliseconds) for name, milliseconds in taken.items()}


def row(label: str, cases: Cases, rounds: int, target: float | None) -> dict[str, object]:
    milliseconds = medians(cases, rounds)
    quickest = min(value for name, value in milliseconds.items() if name.startswith("float32"))
    ratios = {name: round(quickest / value, 1) for name, value in milliseconds.items() if not name.startswith("float")}
    met = "" if target is None else f" ({'ok' if ratios['packed'] >= target else 'below'}: target {target}x)"
    print(f"{label}: {ratios} times as fast as float32's {quickest:.2f} ms{met}", file=sys.stderr)
    shown = {name: round(value, 3) for name, value in milliseconds.items()}
    return {"case": label, "milliseconds": shown, "ratios": ratios, "target": target}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", choices=("layers", "networks"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    with torch.no_grad():
        for channels, size, inputs in LAYERS if arguments.only != "networks" else ():
            label = f"{channels} channels, {size}x{size}, {inputs} inputs"
            target = LAYER_TARGET if channels >= WIDTH else None
            results.append(row(label, layer_cases(channels, size, inputs), arguments.rounds, target))
        for name in NETWORKS if arguments.only != "layers" else ():
            label = f"{name}, width {WIDTH}, {BATCH} images of 32x32"
            results.append(row(label, network_cases(name), arguments.rounds, NETWORK_TARGET))
    print(json.dumps({"torch": torch.__version__, "rounds": arguments.rounds, "results": results}, indent=1))


if __name__ == "__main__":
    main()
