"""Products of bit planes against torch's float32 and int8 products of the same codes.

Usage: ``python benchmarks/bit_serial_products.py [--rounds 15] [--threads 1 2]``. Multiplies 512x4608 by 4608x512,
the size of a late layer of ResNet-18; weights are signs at 1 bit and two's complement above, activations unsigned. All
operands are in the form that each product reads (packed, float32, int8), as gemmbitserial measures; packing the
activations is timed by itself. The products take turns within every round and each is repeated for about as long as the
others, so that a busy machine slows all of them alike; ratios are those of medians. All results are compared with
float64's first. Prints JSON on stdout and a line per case on stderr. Two threads tell something on idle cores alone.
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

from bitmixer.kernels import CodeFormat, encoded_codes, popcount_product

ROWS, COLUMNS, DEPTH = 512, 512, 4608
WIDTHS = [(1, 1), (2, 2), (2, 4), (4, 4), (2, 7), (7, 7), (8, 8)]
"""Weight x activation bits: gemmbitserial's cases, and 8 x 8."""
TURN_SECONDS = 0.1
TARGETS = {(1, 1): 10.0, (2, 2): 2.5}
"""How many times as fast as float32 the product should be."""
GEMMBITSERIAL_SLOWDOWNS = {(2, 2): 3.84, (2, 4): 7.63, (4, 4): 15.4, (2, 7): 13.4, (7, 7): 46.6}
"""Times as slow as its own 1x1 by its own benchmark (revision 23f1eb6, 64x576x784: 548 GOPS at 1x1 on the CPU)."""


def drawn_codes(rows: int, form: CodeFormat) -> np.ndarray:
    held = np.array(encoded_codes(form.bits, form.encoding))
    return np.random.default_rng(rows + form.bits).choice(held, (rows, DEPTH)).astype(np.int16)


def products(widths: tuple[int, int], threads: int) -> dict[str, Callable[[], object]]:
    weight_format = CodeFormat(bits=widths[0], encoding="bipolar" if widths[0] == 1 else "twos_complement")
    activation_format = CodeFormat(bits=widths[1], encoding="unsigned")
    activations, weights = drawn_codes(ROWS, activation_format), drawn_codes(COLUMNS, weight_format)
    packed = activation_format.pack(activations), weight_format.pack(weights)
    real = torch.from_numpy(activations).float(), torch.from_numpy(weights).float().T.contiguous()
    cases: dict[str, Callable[[], object]] = {
        "bit_serial": partial(popcount_product, *packed, threads=threads),
        "float32": partial(torch.matmul, *real),
        "pack_activations": partial(activation_format.pack, activations),
    }
    exact = real[0].double() @ real[1].double()
    if widths[1] < 8:  # int8 is signed: it cannot hold unsigned codes of 8 bits
        cases["int8"] = partial(torch._int_mm, real[0].char(), real[1].char())
        assert torch.equal(cases["int8"]().double(), exact)
    assert torch.equal(torch.from_numpy(cases["bit_serial"]()).double(), exact)
    return cases


def seconds_per_call(multiply: Callable[[], object], repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        multiply()
    return (time.perf_counter() - began) / repeats


def medians(cases: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median milliseconds of each case."""
    quickest = {name: min(seconds_per_call(multiply, 1) for _ in range(3)) for name, multiply in cases.items()}
    repeats = {name: max(1, round(TURN_SECONDS / seconds)) for name, seconds in quickest.items()}
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, multiply in cases.items():
            taken[name].append(1e3 * seconds_per_call(multiply, repeats[name]))
    return {name: statistics.median(milliseconds) for name, milliseconds in taken.items()}


def ratios(milliseconds: dict[str, float]) -> dict[str, float]:
    """Return how many times as long as the bit-serial product torch's products take."""
    torchs = (name for name in ("float32", "int8") if name in milliseconds)
    return {name: round(milliseconds[name] / milliseconds["bit_serial"], 2) for name in torchs}


def measure(widths: tuple[int, int], threads: int, rounds: int) -> dict[str, object]:
    milliseconds = medians(products(widths, threads), rounds)
    return {
        "weight_bits": widths[0],
        "activation_bits": widths[1],
        "threads": threads,
        "milliseconds": {name: round(value, 3) for name, value in milliseconds.items()},
        "gops": round(2 * ROWS * COLUMNS * DEPTH / milliseconds["bit_serial"] / 1e6, 1),
        "ratios": ratios(milliseconds),
    }


def line(row: dict[str, object], widths: tuple[int, int]) -> str:
    parts = [f"{row['gops']} GOPS"]
    for name, ratio in row["ratios"].items():
        parts.append(f"{ratio}x as fast as {name}")
        if name == "float32" and widths in TARGETS:
            parts[-1] += f", {'ok' if ratio >= TARGETS[widths] else 'below'}: target {TARGETS[widths]}x"
    parts.append(f"takes {row['slowdown']}x its 1x1")
    if widths in GEMMBITSERIAL_SLOWDOWNS:
        parts[-1] += f" (gemmbitserial {GEMMBITSERIAL_SLOWDOWNS[widths]}x)"
    return f"{widths[0]}x{widths[1]} bits, {row['threads']} thread(s): {'; '.join(parts)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    results = []
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        one_by_one = 0.0
        for widths in WIDTHS:
            row = measure(widths, threads, arguments.rounds)
            taken = row["milliseconds"]["bit_serial"]
            one_by_one = one_by_one or taken
            row["slowdown"] = round(taken / one_by_one, 2)
            results.append(row)
            print(line(row, widths), file=sys.stderr)
    shape = {"rows": ROWS, "columns": COLUMNS, "depth": DEPTH}
    print(json.dumps({**shape, "rounds": arguments.rounds, "torch": torch.__version__, "results": results}, indent=1))


if __name__ == "__main__":
    main()
