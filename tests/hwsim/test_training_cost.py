"""The cost of a training step: its products are those of the chain rule, its parts are counted and priced once."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from dataclasses import replace

import pytest

from bitmixer.graph import NETWORK_INPUT, Layer
from bitmixer.networks import find_checkpoint
from bitmixer.quantizers.float_formats import E4M3, E5M2, FLOAT16
from hwsim.config.profile import load_profile
from hwsim.cost.arrays import Bismo, Loom, Stripes
from hwsim.cost.training import Formats, Part, alignment_macs, array_work, training_parts, vector_cycles
from hwsim.cost.training_table import training_table
from hwsim.device import build_device
from hwsim.errors import ConfigurationError
from hwsim.training_pricing import price_training

GRAPH = find_checkpoint("resnet8_digits").graph
FP8 = Formats(forward=E5M2, backward=E5M2)
HYBRID = Formats(forward=E4M3, backward=E5M2)


def parts(layers: tuple[Layer, ...] = GRAPH.layers, formats: Formats = FP8, inputs: int = 4) -> list[Part]:
    return list(training_parts(layers, {layer.name: formats for layer in layers}, inputs))


def of(layer: str, product: str, found: list[Part]) -> Part:
    return next(part for part in found if (part.layer, part.product) == (layer, product))


def test_a_step_has_three_products_and_an_update_of_each_layer() -> None:
    found = [(part.layer, part.product) for part in parts()]
    names = [layer.name for layer in GRAPH.layers]
    assert found[: len(names)] == [(name, "forward") for name in names]
    backward = [
        (name, product)
        for name in reversed(names)
        for product in ("norm gradient", "input gradient", "weight gradient", "update")
    ]
    without = {("stem", "input gradient"), ("classifier", "norm gradient")}  # nothing is behind the classifier
    assert found[len(names) :] == [row for row in backward if row not in without]


def test_learning_norms_and_the_classifier_leaves_out_other_weights() -> None:
    layers = GRAPH.layers
    found = list(training_parts(layers, {layer.name: FP8 for layer in layers}, 4, "norms_and_classifier"))
    assert [part.layer for part in found if part.product == "weight gradient"] == ["classifier"]
    assert sum(part.product == "input gradient" for part in found) == len(layers) - 1  # errors reach every norm
    conv, whole = of("stages.2.0.conv2", "update", found), of("stages.2.0.conv2", "update", parts())
    assert 0 < conv.read_bits == 96 * 2 * 32 < whole.read_bits


def test_both_backward_products_have_the_multiplications_of_the_forward_one() -> None:
    found = parts()
    for layer in GRAPH.layers:
        assert of(layer.name, "forward", found).macs == 4 * layer.macs
        assert of(layer.name, "weight gradient", found).macs == 4 * layer.macs
        if NETWORK_INPUT not in layer.producers:
            assert of(layer.name, "input gradient", found).macs == 4 * layer.macs  # with strides, too


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_phases_meet_each_tap_that_reaches_an_input_position(stride: int, dilation: int, kernel: int) -> None:
    """Counted one by one, on a line: position y meets tap t of the output at (y + padding - dilation t) / stride."""
    layer = replace(
        GRAPH["stages.0.0.conv1"], input_channels=1, output_channels=1, kernel_height=1, kernel_width=kernel,
        stride=(1, stride), padding=(0, 1), dilation=(1, dilation), input_height=1, input_width=11, output_height=1,
        output_width=max(1, (11 + 2 - dilation * (kernel - 1) - 1) // stride + 1),
    )  # fmt: skip
    met = sum((y + 1 - dilation * tap) % stride == 0 for y in range(11) for tap in range(kernel))
    assert of(layer.name, "input gradient", parts((layer,), inputs=1)).macs == met


def test_groups_stay_apart_backward() -> None:
    layer = replace(GRAPH["stages.0.0.conv1"], groups=8)
    found = parts((layer,))
    shapes = {part.product: part.products[0] for part in found if part.products}
    assert {name: (shape.groups, shape.reduction) for name, shape in shapes.items()} == {
        "forward": (8, 9), "input gradient": (8, 9), "weight gradient": (8, 4 * 64),
    }  # fmt: skip


def test_cycles_on_bismo_are_planes_of_significands_times_tiles() -> None:
    array = Bismo(rows=8, depth=256, columns=8)
    found = parts(formats=HYBRID, inputs=4)
    forward, _ = array_work(array, of("stages.0.0.conv2", "forward", found))
    backward, _ = array_work(array, of("stages.0.0.conv2", "weight gradient", found))
    assert forward == 4 * 4 * (1 * 1 * 4 * 64 // 8)  # E4M3 has 4 planes; M = 8, K = 72, P = 4 x 8 x 8
    assert backward == 3 * 4 * (1 * 1 * 72 // 8)  # errors have 3; M = 8, K = 4 x 64, P = 72
    assert array_work(array, of("stages.0.0.conv2", "update", found)) == (0, {})


@pytest.mark.parametrize("array", [Bismo(rows=8, depth=256, columns=8), Loom(), Stripes()])
def test_products_of_bits_are_significands_and_their_alignment(array: Bismo | Loom | Stripes) -> None:
    part = of("stages.1.0.conv1", "forward", parts())
    _, counts = array_work(array, part)
    assert counts["binary_mac"] == part.macs * (9 + 35)
    assert alignment_macs(E5M2, E5M2) == 35
    assert alignment_macs(FLOAT16, FLOAT16) == 115


def test_traffic_is_each_operand_once() -> None:
    layer = GRAPH["stages.2.0.conv2"]
    found = parts(inputs=10)
    weights, tensor = layer.weights, 10 * layer.input_elements
    results = 10 * layer.output_channels * layer.output_positions

    def moved(product: str) -> tuple[int, int]:
        part = of(layer.name, product, found)
        return part.read_bits, part.write_bits

    assert moved("forward") == (8 * (weights + tensor), 8 * 2 * results)
    assert moved("input gradient") == (8 * (weights + results), 8 * tensor)
    assert moved("norm gradient") == (8 * 2 * results, 8 * results)
    assert moved("weight gradient") == (8 * (results + tensor), 8 * weights)
    assert moved("update") == ((8 + 48) * weights + 96 * 64, (8 + 48) * weights + 64 * 64)


def test_the_table_of_a_step_holds_what_its_parts_cost() -> None:
    device = build_device(load_profile("bismo_pynq_z1"))
    table = training_table(
        GRAPH, inputs=16, formats=FP8, learned="all", array=device.array, memory=device.memory,
        vector_lanes=device.vector_lanes, energy_table=device.energy_table, nodes=device.thermal_network.nodes,
        frequencies_hertz=device.frequencies_hertz,
    )  # fmt: skip
    found = parts(inputs=16)
    assert [layer.name for layer in table.graph.layers] == [f"{part.layer}/{part.product}" for part in found]
    assert table.dram_read_bits[:, 0, 0, 0, 0].tolist() == [part.read_bits for part in found]
    assert table.counts["vector_operation"].sum() == 2 * sum(part.vector_operations for part in found)
    joules = table.frame_energy_joules(table.graph.uniform(8))
    counts = {action: count[..., 0].sum() for action, count in table.counts.items()}
    assert joules == pytest.approx(sum(device.energy_table.joules_per_action(a) * n for a, n in counts.items()))
    longest = [max(array_work(device.array, part)[0], vector_cycles(part, device.vector_lanes)) for part in found]
    assert (table.total_cycles[0, :, 0, 0, 0, 0] >= longest).all()
    assert table.node_energy_joules.sum(axis=-1) == pytest.approx(table.energy_joules)


def cost(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hwsim", "cost", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_prints_a_step_and_what_a_sample_costs() -> None:
    done = cost("--network", "resnet8_digits", "--training", "e5m2", "--inputs", "64", "--total")
    *rows, total = csv.DictReader(io.StringIO(done.stdout))
    assert {row["formats"] for row in rows} == {"e5m2 x e5m2", "float16 x float16", ""}
    assert {row["layer"] for row in rows if row["formats"].startswith("float16")} == {"stem", "classifier"}
    for column in ("energy_joules", "energy_per_sample_joules"):
        assert float(total[column]) == pytest.approx(sum(float(row[column]) for row in rows))
    assert float(total["energy_per_sample_joules"]) == pytest.approx(float(total["energy_joules"]) / 64)


def test_narrower_floats_and_larger_batches_are_cheaper() -> None:
    def joules(training: str, inputs: int) -> float:
        table = price_training(
            None, network="resnet20_cifar10", training=training, inputs=inputs, profile=None, sets=()
        )
        return float(table.total()["energy_per_sample_joules"])  # type: ignore[arg-type]

    assert joules("e5m2", 32) < joules("hybrid", 32) < joules("e4m3", 32) < joules("float16", 32)
    assert joules("e5m2", 128) < joules("e5m2", 8)


def test_arrays_of_other_kinds_are_refused() -> None:
    options = {"network": "resnet8_digits", "inputs": 8, "sets": ()}
    with pytest.raises(ConfigurationError, match=r"array unpu does not multiply significands .* bismo, loom, stripes"):
        price_training(None, training="e5m2", profile="unpu", **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="did you mean 'e5m2'"):
        price_training(None, training="e5m3", profile=None, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("--network", "resnet8_digits", "--bits", "4"), "--bits"),
        (("--network", "resnet8_digits", "--data", "digits"), "--data"),
        ((), "no --network"),
    ],
)
def test_training_is_priced_of_a_network_alone(arguments: tuple[str, ...], wrong: str) -> None:
    done = cost("--training", "e5m2", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"--training goes with --network alone: {wrong} was given" in done.stderr
