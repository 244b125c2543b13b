"""CPU time of the cost table of ResNet-18 (21 layers, 5 x 5 bit-widths), against its budget of 0.1 s."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import Layer, LayerGraph
from hwsim.cost import EnergyEntry, EnergyTable, Memory, cost_table
from hwsim.cost.arrays import Bismo
from hwsim.cost.energy import ACTIONS

BUDGET_SECONDS = 0.1
WIDTHS = (2, 3, 4, 6, 8)
REPETITIONS = 20


def resnet18() -> LayerGraph:
    """Return ResNet-18's geometry; the flow between layers is simplified to a chain, which costs the same."""
    shapes = list(_shapes())
    following = dict(pairwise(name for name, _ in shapes))
    layers = tuple(_layer(name, shape, key_consumer=following.get(name)) for name, shape in shapes)
    return LayerGraph(
        network="resnet18", input_shape=(3, 224, 224), classes=1000, residual_bits=8, layers=layers, joins=()
    )


def _shapes() -> Iterator[tuple[str, tuple[int, int, int, int, int]]]:
    """Yield each layer's name and its input channels, output channels, kernel, stride and output side."""
    yield "conv1", (3, 64, 7, 2, 112)
    channels = 64
    for stage, side in enumerate((56, 28, 14, 7), start=1):
        wider = 64 * 2 ** (stage - 1)
        for block in range(2):
            stride = 2 if stage > 1 and block == 0 else 1
            yield f"layer{stage}.{block}.conv1", (channels, wider, 3, stride, side)
            yield f"layer{stage}.{block}.conv2", (wider, wider, 3, 1, side)
            if stride == 2:
                yield f"layer{stage}.{block}.downsample", (channels, wider, 1, 2, side)
            channels = wider
    yield "fc", (512, 1000, 1, 1, 1)


def _layer(name: str, shape: tuple[int, int, int, int, int], *, key_consumer: str | None) -> Layer:
    inputs, outputs, kernel, stride, side = shape
    return Layer(
        name=name,
        kind="linear" if name == "fc" else "convolution",
        input_channels=inputs,
        output_channels=outputs,
        kernel_height=kernel,
        kernel_width=kernel,
        stride=(stride, stride),
        padding=(kernel // 2, kernel // 2),
        groups=1,
        input_height=side * stride,
        input_width=side * stride,
        output_height=side,
        output_width=side,
        allowed=tuple(BitWidths(w, a) for w in WIDTHS for a in WIDTHS),
        producers=(),
        consumers=(),
        key_consumer=key_consumer,
        is_key_consumer=True,
        stream_write_elements=outputs * side * side,
        residual_write_elements=0,
        residual_read_elements=0,
        vector_operations=outputs * side * side,
    )


def main() -> None:
    graph = resnet18()
    entries = tuple(EnergyEntry(name=action, action=action, joules=1e-12, node="die") for action in ACTIONS)
    seconds = []
    for _ in range(REPETITIONS):
        start = time.process_time()
        table = cost_table(
            graph,
            widths=WIDTHS,
            inputs_per_frame=1,
            array=Bismo(rows=8, depth=256, columns=8),
            memory=Memory(dram_bandwidth_bits_per_second=13.4e9, port_bits_per_cycle=64),
            vector_lanes=8,
            energy_table=EnergyTable(entries=entries),
            nodes=("die",),
            frequencies_hertz=(100_000_000, 125_000_000, 142_857_143, 166_666_667, 200_000_000),
        )
        seconds.append(time.process_time() - start)
    best = min(seconds)
    print(
        f"cost table: {len(graph.layers)} layers, {table.rows} rows, {len(table.frequencies_hertz)} clocks: "
        f"{best * 1e3:.2f} ms of CPU time, {best / BUDGET_SECONDS:.3f} of the budget"
    )


if __name__ == "__main__":
    main()
