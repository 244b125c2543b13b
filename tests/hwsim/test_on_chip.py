"""What stays on chip: weight planes from frame to frame, tensors between sites, and what that means in a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitmixer.errors import BitmixerError
from bitmixer.graph import LayerGraph
from bitmixer.networks.checkpoint import find_checkpoint
from hwsim import pipeline
from hwsim.controllers.base import Decision, Observation
from hwsim.cost import CostTable
from hwsim.cost.arrays import BitFusion
from hwsim.cost.memory import Buffers, Execution
from hwsim.cost.memory.maps import OnChip, on_chip
from hwsim.cost.memory.planes import planes_kept
from hwsim.errors import ConfigurationError
from hwsim.ledgers import close_ledgers
from hwsim.pipeline import Plan
from hwsim.records.recorder import RecordedStream, Recorder
from hwsim.simulation.arrivals import PeriodicArrivals
from hwsim.simulation.simulator import Simulator
from hwsim.simulation.weight_planes import PlaneNeeds, WeightPlanes

MICROSECOND = 1_000_000
RESNET20 = find_checkpoint("resnet20_mnist5k").graph


def buffers(
    weight: int, activation: int = 1 << 16, output: int = 1 << 16, *, halves: int = 2, burst: int = 1
) -> Buffers:
    return Buffers(
        weight_bits=weight, activation_bits=activation, output_bits=output, halves=halves, burst_bits=burst
    )  # fmt: skip


def priced(plan: Plan, kept: Buffers | None, graph: LayerGraph | None = None, **execution: Any) -> CostTable:
    device = dataclasses.replace(plan.device, buffers=kept, execution=Execution(**execution))
    return device.cost_table(graph or plan.streams[0].checkpoint.graph, 1)


@given(st.integers(0, 3_000_000))
@settings(max_examples=50, deadline=None)
def test_leading_planes_of_all_sites_come_first_and_half_the_buffer_is_never_exceeded(capacity: int) -> None:
    layers = RESNET20.layers
    kept = planes_kept(layers, buffers(capacity))
    sizes = [layer.weights for layer in layers]
    total = sum(size * planes for size, planes in zip(sizes, kept, strict=True))
    if capacity >= sum(8 * size for size in sizes):
        assert set(kept) == {8}
        return
    assert total <= capacity // 2
    everybodys_first = sum(sizes) <= capacity // 2
    assert (min(kept) > 0) == everybodys_first
    free = capacity // 2 - total
    for planes, size in zip(kept, sizes, strict=True):
        assert planes == 8 or size > free  # whoever could have had another plane has it


class PlanesOnChip:
    """The same in other words: names of planes in a set."""

    def __init__(self, kept: int, independent: bool) -> None:
        self.kept, self.independent, self.on_chip = kept, independent, set[tuple[int, int]]()

    def fetched(self, width: int, needed: int) -> int:
        wanted = {(width if self.independent else 0, plane) for plane in range(needed)}
        fetched = wanted - self.on_chip
        if self.independent:
            self.on_chip = set()
        self.on_chip |= {(code, plane) for code, plane in wanted if plane < self.kept}
        return len(fetched)


@given(
    st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=30), st.integers(0, 8),
    st.sampled_from(["nested", "independent"]),
)  # fmt: skip
@settings(deadline=None)
def test_raising_bits_fetches_what_is_missing_and_independent_codes_everything(
    widths: list[int], kept: int, codes: str
) -> None:
    needed = {1: 1, 2: 3, 4: 5, 8: 8} if codes == "nested" else {width: width for width in (1, 2, 4, 8)}
    needs = PlaneNeeds(needed=(needed,), kept=(kept,), independent=codes == "independent")
    planes, model = WeightPlanes(needs), PlanesOnChip(kept, codes == "independent")
    for width in widths:
        assert planes.missing(0, width) + needs.streamed[0][width] == model.fetched(width, needed[width])


def bits_that_stay(graph: LayerGraph, stays: OnChip, widths: list[int], site: int) -> int:
    """Add up what lies on chip while a site runs, from what sites write and when it is read for the last time."""
    last_use = {layer.name: graph.index[name] for layer in graph.layers for name in layer.consumers}
    total = 0
    for writer, layer in enumerate(graph.layers[: site + 1]):
        reader = graph.index[layer.key_consumer] if layer.key_consumer else -1
        if reader >= site and widths[reader] <= stays.stream_bits[reader]:
            total += layer.stream_write_elements * widths[reader]
        # A copy is read by a join, or by a site that reads it, no later than by the last that reads its result.
        if stays.copies[writer] and last_use[layer.name] > site:
            total += layer.residual_write_elements * graph.residual_bits
    return total


@given(st.data(), st.integers(0, 1 << 20))
@settings(max_examples=40, deadline=None)
def test_whatever_the_widths_what_stays_fits_in_half_the_buffer(data: st.DataObject, capacity: int) -> None:
    stays = on_chip(RESNET20, buffers(0, capacity), inputs_per_frame=1)
    widths = [data.draw(st.sampled_from([pair.activation for pair in layer.allowed])) for layer in RESNET20.layers]
    for site in range(len(RESNET20.layers)):
        assert stays.reserved_bits[site] <= capacity // 2
        # The last of a copy's readers may be a join before the last consumer: count only what surely lives.
        streams = OnChip(**{**_fields(stays), "copies": (False,) * len(RESNET20.layers)})
        assert bits_that_stay(RESNET20, streams, widths, site) <= stays.reserved_bits[site]
    more = on_chip(RESNET20, buffers(0, 2 * capacity), inputs_per_frame=1)
    assert sum(more.stream_bits) >= sum(stays.stream_bits)
    assert on_chip(RESNET20, buffers(0, 2 * capacity), inputs_per_frame=2).stream_bits == stays.stream_bits


def _fields(stays: OnChip) -> dict[str, Any]:
    return {field.name: getattr(stays, field.name) for field in dataclasses.fields(stays)}


def test_in_buffers_that_hold_everything_only_input_and_logits_move(small_plan: Plan, graph: LayerGraph) -> None:
    table = priced(small_plan, buffers(1 << 30, 1 << 30, 1 << 30))
    rows = table.frame_rows(graph.uniform(4))
    read, write = (bits.reshape(-1)[rows].tolist() for bits in (table.dram_read_bits, table.dram_write_bits))
    assert read == [64 * 8, *[0] * 9]  # one 8x8 image at the stem's bits
    assert write == [*[0] * 9, 10 * 32]
    cold = priced(small_plan, None).dram_read_bits[..., 0]
    planes = table.planes_needed()[:, :, None, None]
    weights = np.array([layer.weights for layer in graph.layers]).reshape(-1, 1, 1, 1)
    first = table.dram_read_bits[..., 16] - table.dram_read_bits[..., 0]
    np.testing.assert_array_equal(first, np.broadcast_to(weights * planes, first.shape))
    assert (first <= cold).all()


@pytest.mark.parametrize("overlap", ["ideal", "tiled"])
def test_a_larger_buffer_is_never_slower_and_a_layer_never_beats_its_bounds(small_plan: Plan, overlap: str) -> None:
    before = None
    for power in (11, 13, 15, 17):
        table = priced(small_plan, buffers(1 << power, 1 << power, 1 << power, burst=64), overlap=overlap)
        floor = np.maximum(table.compute_cycles[..., None, None], small_plan.device.memory.cycles(
            _traffic(table), small_plan.device.frequencies_hertz[0]))  # fmt: skip
        assert (table.total_cycles[0] >= floor).all()
        frames = [table.frame_cycles(small_plan.streams[0].checkpoint.graph.uniform(bits), 0) for bits in (2, 4, 8)]
        assert before is None or all(now <= then for now, then in zip(frames, before, strict=True))
        before = frames


def _traffic(table: CostTable) -> Any:
    from hwsim.cost.memory import Traffic

    return Traffic(read_bits=table.dram_read_bits, write_bits=table.dram_write_bits)


def to_bits(graph: LayerGraph, bits: int) -> Decision:
    return Decision(widths=graph.uniform(bits), reason=f"{bits} bit")


def changes_for(plan: Plan, kept: Buffers | None, **execution: Any) -> dict[str, Any]:
    return {
        "device_changes": {"buffers": kept, "execution": Execution(**execution)},
        "costs": priced(plan, kept, **execution),
    }


def test_a_run_fetches_cold_then_nothing_then_the_missing_planes(
    simulate: Any, scripted: Any, small_plan: Plan, graph: LayerGraph
) -> None:
    bits = iter((2, 2, 8, 4, 2, 8))

    def script(observation: Observation, generator: Any) -> Decision | None:
        return to_bits(graph, next(bits))

    log = simulate(
        scripted(script=script, start=2, wakes_on=frozenset({"frame"})),
        duration_picoseconds=600 * MICROSECOND,
        **changes_for(small_plan, buffers(1 << 30)),
    )
    fetched = [[layer.planes_fetched for layer in log.of_frame(frame)] for frame in range(6)]
    # 2 bits and their carry; 8 bits are 5 planes more; then all is there. A decision at a frame's start binds its third
    # layer at the earliest: the second gets its planes a frame later.
    assert [each[2:9] for each in fetched] == [[planes] * 7 for planes in (3, 0, 5, 0, 0, 0)]
    assert [each[1] for each in fetched] == [3, 0, 0, 5, 0, 0]
    assert [[each[0], each[9]] for each in fetched] == [[8, 8], *[[0, 0]] * 5]


@pytest.mark.parametrize("codes", ["nested", "independent"])
@pytest.mark.parametrize("overlap", ["ideal", "tiled"])
@pytest.mark.parametrize("requantise", ["on_drain", "on_load"])
def test_ledgers_agree_with_planes_and_tensors_on_chip_and_clocks_that_change(
    make_setup: Any, scripted: Any, small_plan: Plan, tmp_path: Path, codes: Any, overlap: str, requantise: str
) -> None:
    graph = dataclasses.replace(small_plan.streams[0].checkpoint.graph, weight_codes=codes)

    def script(observation: Observation, generator: Any) -> Decision:
        turn = observation.time_picoseconds // 7_300_000
        return Decision(
            widths=graph.uniform((8, 2, 4)[turn % 3]), frequency_hertz=(200, 50, 125, 125)[turn % 4] * 10**6, reason=""
        )

    kept = buffers(40_000, 9_000, 3_000, burst=64)
    device_changes = {"buffers": kept, "execution": Execution(overlap=overlap, requantise=requantise)}  # type: ignore[arg-type]
    setup = make_setup(
        scripted(script=script, wakes_on=frozenset({"tick"}), tick_picoseconds=7_300_000),
        graph=graph,
        costs=priced(small_plan, kept, graph, overlap=overlap, requantise=requantise),
        arrivals=PeriodicArrivals(period=40 * MICROSECOND),
        device_changes=device_changes,
    )
    recorder = Recorder(
        tmp_path,
        [RecordedStream(name="camera", graph=setup.streams[0].graph, costs=setup.streams[0].costs)],
        setup.device.thermal_network.nodes,
    )
    simulator = Simulator(setup, [recorder])
    simulator.run()
    recorder.close()
    close_ledgers(tmp_path, setup.device, {"camera": setup.streams[0].costs}, simulator.plant).check()
    layers = pq.read_table(tmp_path / "layers.parquet").to_pylist()
    assert len({row["planes_fetched"] for row in layers}) > 2
    assert {row["next_activation_bits"] for row in layers} == ({32} if requantise == "on_load" else {2, 4, 8, 32})


@pytest.mark.parametrize("position", range(10))
def test_what_requantises_on_load_commits_a_layer_when_it_is_issued(
    simulate: Any, scripted: Any, small_plan: Plan, graph: LayerGraph, position: int
) -> None:
    asked = iter(range(10**6))
    controller = scripted(script=lambda observation, generator: to_bits(graph, 2) if next(asked) == position else None)
    log = simulate(controller, **changes_for(small_plan, None, requantise="on_load"))
    for layer in log.of_frame(0):
        expected = 2 if layer.position > position and layer.position not in (0, 9) else 8
        assert (layer.weight_bits, layer.activation_bits) == (expected, expected)
    assert controller.seen[position].first_uncommitted == position + 1
    ran = {(layer.frame, layer.position): (layer.weight_bits, layer.activation_bits) for layer in log.layers}
    assert [issued.position for issued in log.issued if issued.frame == 0] == list(range(10))
    for issued in log.issued:
        assert issued.widths == ran[issued.frame, issued.position]
        consumer = graph.layers[issued.position].key_consumer
        assert issued.consumer_widths == (None if consumer is None else ran[issued.frame, graph.index[consumer]])


def test_accumulators_between_sites_cost_their_traffic(small_plan: Plan, graph: LayerGraph) -> None:
    drained, loaded = (priced(small_plan, None, requantise=when) for when in ("on_drain", "on_load"))
    for site, layer in enumerate(graph.layers):
        read, write = (
            (getattr(loaded, name) - getattr(drained, name))[site, 0, 1, 0, 0]  # w2 a4, its consumer at 2
            for name in ("dram_read_bits", "dram_write_bits")
        )
        own = layer.input_elements - layer.residual_input_elements
        assert read == (0 if "input" in layer.producers else own * (32 - 4))
        assert write == (0 if layer.key_consumer is None else layer.stream_write_elements * (32 - 2))


def test_predictions_are_the_same_in_step_and_lazily_when_layers_requantise_on_load(
    bursty: str, tmp_path: Path
) -> None:
    found = []
    for outputs in ("lazy", "in_step"):
        sets = [f"outputs={outputs}", "profile.execution.requantise=on_load", "duration=30 ms"]
        folder = tmp_path / outputs
        pipeline.run(pipeline.plan(bursty, sets=sets), folder, figures=False)
        table = pq.read_table(folder / "frames.parquet", columns=["status", "predictions"])
        found.append(table.to_pylist())
    assert found[0] == found[1]
    assert len({row["weight_bits"] for row in pq.read_table(tmp_path / "lazy" / "layers.parquet").to_pylist()}) > 1


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (buffers(100), r"'stem' at w8a8: its smallest weight tile takes 18 bytes \(2 x 9\).* at least 36 weight_bytes"),
        (buffers(1 << 30, 1 << 5), r"'stem' at w8a8: its smallest activation tile takes 18 bytes .* has 4 bytes"),
        (
            buffers(1 << 30, 1 << 16, 24, halves=1),
            r"'stem' at w8a8: its smallest output tile takes 4 bytes \(1 x 4\)",
        ),
    ],
)
def test_a_buffer_smaller_than_a_tile_is_refused_with_what_would_do(
    small_plan: Plan, kept: Buffers, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        priced(small_plan, kept)


def test_parts_that_do_not_fit_together_are_refused(small_plan: Plan, graph: LayerGraph) -> None:
    with pytest.raises(ConfigurationError, match="give the device buffers"):
        priced(small_plan, None, overlap="tiled")
    device = dataclasses.replace(small_plan.device, buffers=buffers(1 << 20), array=BitFusion())
    with pytest.raises(ConfigurationError, match="bitfusion brings its own buffers"):
        device.cost_table(graph, 1)


def test_a_profile_says_what_is_wrong_with_its_buffers(bursty: str) -> None:
    with pytest.raises(BitmixerError, match="tiles go through buffers: give the device buffers"):
        pipeline.plan(bursty, sets=["profile.execution.overlap=tiled"])
    buffered = "profile=bismo_pynq_z1_buffered"
    with pytest.raises(BitmixerError, match=r"buffers\.halves\.value: 3 is out of bounds"):
        pipeline.plan(bursty, sets=[buffered, "profile.buffers.halves.value=3"])
    with pytest.raises(BitmixerError, match="smallest output tile"):
        pipeline.plan(bursty, sets=[buffered, "profile.buffers.output_bytes={value: 7, source: here}"])


def test_the_same_pairs_of_widths_are_searched_once(small_plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    from hwsim.cost.memory import search

    kept = buffers(12_345, 23_456)
    first = priced(small_plan, kept)
    monkeypatch.setattr(search, "_searched", lambda machine, asked: pytest.fail("searched again"))
    np.testing.assert_array_equal(priced(small_plan, kept).total_cycles, first.total_cycles)
