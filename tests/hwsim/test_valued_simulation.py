"""Runs on arrays whose cycles depend on values: what is on record follows from the codes that really met."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from bitmixer.errors import DocumentError
from bitmixer.networks.checkpoint import find_checkpoint
from hwsim import pipeline
from hwsim.config.packaged import find
from hwsim.cost.arrays.valued import network_cycles
from hwsim.outputs import LoadedNetwork
from hwsim.records.store import digest
from hwsim.replay import replay

SHORT = "duration=12 ms", "streams.0.arrivals.bursts.first=2 ms"
SCENARIO = find("scenarios", "values_digits").read_text(encoding="utf-8")
PRAGMATIC = re.search(r"    kind: pragmatic\n(?:    .*\n)+", SCENARIO)
WEIGHTS = """\
    kind: bitwave
    group: {value: 8, assumption: "a test", range: [8, 32]}
    rows: {value: 4, assumption: "a test", range: [1, 16]}
    columns: {value: 4, assumption: "a test", range: [1, 16]}
"""


def with_array(folder: Path, array: str) -> str:
    """Write the scenario with another array and return its path."""
    assert PRAGMATIC is not None
    path = folder / "scenario.yaml"
    path.write_text(SCENARIO.replace(PRAGMATIC.group(), array), encoding="utf-8")
    return str(path)


def stripes() -> str:
    assert PRAGMATIC is not None
    lines = PRAGMATIC.group().replace("pragmatic", "stripes").splitlines(keepends=True)
    return "".join(line for line in lines if "reach" not in line)


@dataclass
class Run:
    plan: pipeline.Plan
    folder: Path
    summary: dict[str, Any]

    def rows(self, table: str = "layers") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = pq.read_table(self.folder / f"{table}.parquet").to_pylist()
        return found

    def array_cycles(self) -> list[int]:
        return [row["array_cycles"] for row in self.rows()]

    def by_frame(self) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        """Yield frames that ran, with their layers in the order of issue."""
        layers = self.rows()
        for frame in self.rows("frames"):
            if own := [row for row in layers if row["frame"] == frame["frame"]]:
                yield frame, own


Runner = Callable[..., Run]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Runner:
    def start(scenario: str = "values_digits", *sets: str, controller: str | None = None) -> Run:
        folder = tmp_path_factory.mktemp("run") / "run"
        planned = pipeline.plan(scenario, sets=[*SHORT, *sets], controller=controller)
        return Run(planned, folder, pipeline.run(planned, folder, figures=False))

    return start


@pytest.fixture(scope="module")
def mixed(run: Runner) -> Run:
    """A run whose controller changes bits in mid-frame."""
    return run()


@pytest.fixture(scope="module")
def static(run: Runner) -> Run:
    return run(controller="static:bits=4")


@pytest.mark.parametrize("requantise", ["on_drain", "on_load"])
def test_every_row_has_the_cycles_of_its_frame_s_own_codes(mixed: Run, run: Runner, requantise: str) -> None:
    """Against the whole network, run at once under the frame's realised widths."""
    if requantise == "on_load":
        mixed = run("values_digits", "profile.execution.requantise=on_load", "duration=50 ms")
    assert mixed.summary["mixed_frames"] > 0
    checkpoint = mixed.plan.streams[0].checkpoint
    loaded = LoadedNetwork(checkpoint, "digits+noise0.3@1")
    frames = 0
    for frame, layers in mixed.by_frame():
        widths = [(row["weight_bits"], row["activation_bits"]) for row in layers]
        operands = loaded.operands(widths, np.array(frame["input_indices"]))
        expected = network_cycles(mixed.plan.device.array, checkpoint.graph, operands).sum(axis=1)
        assert [row["array_cycles"] for row in layers] == expected.tolist()
        frames += 1
    assert frames > 10


def test_a_layer_takes_the_longest_of_array_and_all_else_and_never_more_than_its_bound(mixed: Run) -> None:
    costs = mixed.plan.streams[0].costs
    waited = 0
    for row in mixed.rows():
        site = costs.graph.index[row["layer"]]
        at = (site, *map(costs.width_index, (row["weight_bits"], row["activation_bits"])))
        following = costs.graph.layers[site].key_consumer
        key = row["activation_bits"] if following is None else row["next_activation_bits"]
        full = (*at, costs.width_index(key), int(row["norm_reload"]))
        assert 0 < row["array_cycles"] <= costs.compute_cycles[at]
        assert row["cycles"] == max(row["array_cycles"], costs.other_cycles[(0, *full)])
        assert row["cycles"] <= costs.total_cycles[(0, *full)]
        saved = 1 - row["array_cycles"] / costs.compute_cycles[at]
        table = mixed.plan.device.energy_table
        expected = sum(
            table.joules_per_action(action) * (count[full] - saved * costs.cycle_counts.get(action, 0 * count)[full])
            for action, count in costs.counts.items()
        )
        assert row["energy_joules"] == pytest.approx(expected, rel=1e-12)
        waited += row["cycles"] > row["array_cycles"]
    assert 0 < waited < len(mixed.rows())


def test_frames_of_other_images_take_other_cycles_and_energy(static: Run) -> None:
    totals = {tuple(frame["input_indices"]): frame["energy_joules"] for frame, _ in static.by_frame()}
    cycles = [sum(row["array_cycles"] for row in layers) for _, layers in static.by_frame()]
    assert len(set(cycles)) > len(cycles) // 2
    assert len(set(totals.values())) == len(totals) > 10


def test_ledgers_close_and_predictions_hold_and_the_same_run_has_the_same_digest(mixed: Run, run: Runner) -> None:
    ledgers = mixed.summary["energy_ledgers"]
    assert ledgers["records_joules"] == pytest.approx(ledgers["plant_joules"], rel=1e-9)
    assert mixed.summary["energy_joules"] == pytest.approx(ledgers["plant_joules"], rel=1e-9)
    assert replay(mixed.folder).differing == ()
    assert digest(run().folder) == digest(mixed.folder)


def test_outputs_in_step_and_afterwards_give_the_same_cycles(
    mixed: Run, run: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path))  # one that knows no cycles yet
    assert digest(run("values_digits", "outputs=in_step").folder) == digest(mixed.folder)


def test_cycles_that_are_known_run_no_network(mixed: Run, run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LoadedNetwork, "network", property(lambda self: pytest.fail("the network is loaded")))
    assert run().array_cycles() == mixed.array_cycles()


def test_predictions_are_those_of_a_static_array_under_the_same_decisions(
    static: Run, run: Runner, tmp_path: Path
) -> None:
    other = run(with_array(tmp_path, stripes()), controller="static:bits=4")
    assert other.plan.device.array.name == "stripes"
    kept = ("frame", "input_indices", "predictions", "labels")
    ours, theirs = ([[row[key] for key in kept] for row in each.rows("frames")] for each in (static, other))
    assert ours == theirs
    bounds = dict.fromkeys(range(len(ours)), 0)
    for row in other.rows():
        bounds[row["frame"]] += row["array_cycles"]
    assert all(sum(row["array_cycles"] for row in rows) < bounds[frame["frame"]] for frame, rows in static.by_frame())


def test_noise_on_the_same_images_changes_the_cycles(run: Runner) -> None:
    clean, noisy = (
        run("values_digits", f"streams.0.data={data}", controller="static:bits=4")
        for data in ("digits", "digits+noise0.4@7")
    )
    images = [[row["input_indices"] for row in each.rows("frames")] for each in (clean, noisy)]
    assert images[0] == images[1]
    stems = [[row["array_cycles"] for row in each.rows() if row["layer"] == "stem"] for each in (clean, noisy)]
    assert all(before != after for before, after in zip(*stems, strict=True))
    assert sum(stems[1]) > sum(stems[0])  # what was black has bits now


def test_where_weights_alone_count_the_cost_table_is_exact_and_inputs_make_no_difference(
    run: Runner, tmp_path: Path
) -> None:
    found = run(with_array(tmp_path, WEIGHTS), "outputs=none", controller="static:bits=4")
    costs, graph = found.plan.streams[0].costs, found.plan.streams[0].checkpoint.graph
    assert dict(costs.cycle_counts) == {}
    loaded = LoadedNetwork(found.plan.streams[0].checkpoint, "digits")
    for bits in (2, 4, 8):
        widths = list(graph.uniform(bits).values())
        known = network_cycles(found.plan.device.array, graph, loaded.operands(widths, np.arange(2)))
        index = [tuple(map(costs.width_index, pair)) for pair in widths]
        assert [costs.compute_cycles[site, *at] for site, at in enumerate(index)] == (20 * known[:, 0]).tolist()
    bound = found.plan.device.cost_table(graph, 20)
    assert (costs.compute_cycles <= bound.compute_cycles).all()
    assert (costs.energy_joules <= bound.energy_joules).all()
    assert costs.energy_joules.sum() < bound.energy_joules.sum()
    per_layer: dict[str, set[int]] = {}
    for row in found.rows():
        per_layer.setdefault(row["layer"], set()).add(row["array_cycles"])
    assert {len(cycles) for cycles in per_layer.values()} == {1}


def test_what_has_no_values_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"--set outputs: outputs: none, but array pragmatic takes its cycles from"):
        pipeline.plan("values_digits", sets=["outputs=none"])
    with pytest.raises(DocumentError, match="array pragmatic: its cycles follow from the values of whole layers"):
        pipeline.plan("values_digits", sets=["profile=bismo_pynq_z1_buffered"])
    sets = ["outputs=none", "streams.0.network=resnet18", "streams.0.data=null"]
    with pytest.raises(DocumentError, match=r"streams\.0\.network: .*resnet18"):
        pipeline.plan(with_array(tmp_path, WEIGHTS), sets=sets)


def test_damaged_tables_of_weights_are_counted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hwsim.cost.arrays.valued import BitWave
    from hwsim.value_cycles import weight_cycles

    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path))
    array, checkpoint = BitWave(group=8, rows=4, columns=4), find_checkpoint("resnet8_digits")
    first = weight_cycles(array, checkpoint, (2, 4, 8))
    (file,) = tmp_path.rglob("*.npy")
    assert (first[1] > 0).all()
    assert first[0].tolist()[:2] == [0, 0]  # the stem is pinned at 8 bits
    file.write_bytes(b"no table")
    assert (weight_cycles(array, checkpoint, (2, 4, 8)) == first).all()
    assert not (weight_cycles(BitWave(group=16, rows=4, columns=4), checkpoint, (2, 4, 8)) == first).all()
