"""Aggregation of packed codes of 1, 2, 4 and 8 bits against float32, on a generated graph.

Both sides are compiled loops over the same edges on one thread, in turns; torch's sparse product of float32 stands
beside them. Ratios are of medians. Keep others away from the core: ``chrt -r 1 python benchmarks/aggregation.py``.

Usage: python benchmarks/aggregation.py [--nodes 1000000] [--edges 10000000] [--width 64] [--rounds 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from bitmixer.data.block_model import BlockModel
from bitmixer.graphs.topology import Topology
from bitmixer.kernels.gathering import PACKED_WIDTHS, gather_codes, pack_codes


@numba.njit(cache=True, nogil=True)
def gather_floats(
    row_starts: NDArray[np.int64], sources: NDArray[np.int32], coefficients: NDArray[np.float32],
    features: NDArray[np.float32], sums: NDArray[np.float32],
) -> None:  # fmt: skip
    """Write into (targets, width) the sums over each target's edges of coefficient times feature."""
    for target in range(len(row_starts) - 1):
        row = sums[target]
        row[:] = 0
        for edge in range(row_starts[target], row_starts[target + 1]):
            message, coefficient = features[sources[edge]], coefficients[edge]
            for at in range(len(row)):
                row[at] += coefficient * message[at]


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for option, default in (("nodes", 1_000_000), ("edges", 10_000_000), ("width", 64), ("rounds", 5)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    graph = BlockModel(nodes=given.nodes, edges=given.edges).generate()
    pattern, generator = Topology(graph).with_loops, np.random.default_rng(0)
    starts = np.concatenate([[0], torch.bincount(pattern.rows, minlength=graph.nodes).cumsum(0).numpy()])
    sources = pattern.columns.numpy().astype(np.int32)
    codes = generator.integers(256, size=(graph.nodes, given.width), dtype=np.uint8)
    coefficients = generator.integers(16, size=len(sources), dtype=np.uint8)
    real, weights = codes.astype(np.float32), coefficients.astype(np.float32)
    matrix, dense = pattern.matrix(torch.from_numpy(weights)), torch.from_numpy(real)
    packed = {bits: pack_codes(codes >> (8 - bits), bits) for bits in PACKED_WIDTHS}

    sums = np.zeros((graph.nodes, given.width), dtype=np.float32)
    whole = np.zeros((graph.nodes, -(-given.width // 8) * 8), dtype=np.int32)

    def gathers(bits: int) -> Callable[[], Any]:
        return lambda: gather_codes(
            starts, sources, coefficients, packed[bits], bits=bits, width=given.width, out=whole
        )

    works: dict[str, Callable[[], Any]] = {"float32": lambda: gather_floats(starts, sources, weights, real, sums)}
    works |= {"float32, torch": lambda: matrix @ dense} | {f"{bits} bit": gathers(bits) for bits in PACKED_WIDTHS}
    works["float32"]()  # compiles
    np.testing.assert_allclose(gathers(8)(), sums, rtol=1e-4)  # floats round
    took: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(given.rounds):
        for name, work in works.items():
            took[name].append(seconds(work))
    median = {name: float(np.median(each)) for name, each in took.items()}
    print(f"{graph.nodes} nodes, {len(sources)} edges with loops, {given.width} features")
    for name, value in median.items():
        print(f"{name:16} {value:7.3f} s  {median['float32'] / value:5.2f} x float32  (least {min(took[name]):.3f} s)")
    if given.json is not None:
        machine = f"{platform.machine()}, one thread, numba {numba.__version__}, torch {torch.__version__}"
        content = {
            "nodes": graph.nodes,
            "edges": len(sources),
            "width": given.width,
            "machine": machine,
            "seconds": took,
        }
        given.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
