"""Layer tables: read, priced, written; and what is said of a table that is wrong."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from hwsim.cost import EnergyEntry, EnergyTable, Memory
from hwsim.cost.arrays import Bismo
from hwsim.cost.layer_csv import price_layers, read_layers
from hwsim.cost.priced_table import PricedTable
from hwsim.errors import ConfigurationError

HEADER = (
    "layer,input_channels,output_channels,kernel_height,kernel_width,stride,padding,input_height,input_width,"
    "output_height,output_width,macs,activation_bits,weight_bits"
)
# K = 36, 6 x 4 results; 216 weights, 16 input elements
CONVOLUTION = "conv,4,6,3,3,1,1,2,2,2,2,864,2,4"
LINEAR = "fc,64,10,1,1,1,0,1,1,1,1,640,8,8"

ENERGY = EnergyTable(
    entries=(
        EnergyEntry(name="lanes", action="binary_mac", joules=2.0, node="die"),
        EnergyEntry(name="dram", action="dram_bit", joules=8.0, node="elsewhere"),
    )
)


def table(folder: Path, *lines: str) -> Path:
    path = folder / "layers.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def priced(path: Path, bandwidth: float = 1600.0) -> list[dict[str, Any]]:
    return priced_table(path, bandwidth).rows()


def priced_table(path: Path, bandwidth: float = 1600.0) -> PricedTable:
    return price_layers(
        path,
        array=Bismo(rows=4, depth=16, columns=2),
        memory=Memory(dram_bandwidth_bits_per_second=bandwidth, port_bits_per_cycle=64),
        energy_table=ENERGY,
        frequency_hertz=200,
    )


def test_convolution_by_hand(tmp_path: Path) -> None:
    """12 tiles x 4 x 2 bits; weights 216 x 4, input 16 x 2, outputs 24 x 2; 8 bits per cycle."""
    dram_bits = 864 + 32 + 48
    found = priced_table(table(tmp_path, HEADER, CONVOLUTION))
    (row,) = found.rows()
    assert row == {
        "layer": "conv",
        "compute_cycles": 96,
        "total_cycles": 118,
        "memory_stall_cycles": 22,
        "dram_bits": dram_bits,
        "energy_joules": 2.0 * 864 * 8 + 8.0 * dram_bits,
        "utilisation": 864 * 8 / (96 * 4 * 16 * 2),
        "seconds": 118 / 200,
    }
    assert found.joules_by_action["binary_mac"] == [2.0 * 864 * 8]
    assert found.joules_by_action["dram_bit"] == [8.0 * dram_bits]


def test_rows_do_not_influence_each_other(tmp_path: Path) -> None:
    both = priced(table(tmp_path, HEADER, CONVOLUTION, LINEAR))
    alone = [*priced(table(tmp_path, HEADER, CONVOLUTION)), *priced(table(tmp_path, HEADER, LINEAR))]
    assert both == alone


def test_memory_does_not_stall_with_plenty_of_bandwidth(tmp_path: Path) -> None:
    (row,) = priced(table(tmp_path, HEADER, CONVOLUTION), bandwidth=1e9)
    assert (row["total_cycles"], row["memory_stall_cycles"]) == (96, 0)


def test_groups_share_out_the_channels(tmp_path: Path) -> None:
    path = table(tmp_path, f"{HEADER},groups", "depthwise,8,8,3,3,1,1,4,4,4,4,1152,8,8,8")
    (layer,) = read_layers(path)
    assert (layer.groups, layer.reduction, layer.weights) == (8, 9, 72)
    assert priced(path)[0]["compute_cycles"] == 64 * 8 * 1 * 1 * 8


def test_columns_of_results_and_order_do_not_matter(tmp_path: Path) -> None:
    names, cells = HEADER.split(","), CONVOLUTION.split(",")
    turned = table(
        tmp_path,
        ",".join(["compute_cycles", *reversed(names), "value_dependent"]),
        ",".join(["7", *reversed(cells), "true"]),
        "",
    )
    turned_rows = priced(turned)
    assert turned_rows == priced(table(tmp_path, HEADER, CONVOLUTION))


def test_csv_round_trip(tmp_path: Path) -> None:
    path = table(tmp_path, HEADER, CONVOLUTION, LINEAR)
    rows, read = priced(path), list(csv.DictReader(io.StringIO(priced_table(path).to_csv())))
    assert list(read[0]) == [
        *("layer", "compute_cycles", "total_cycles", "memory_stall_cycles", "dram_bits", "energy_joules"),
        *("utilisation", "seconds"),
    ]
    assert [row["layer"] for row in read] == ["conv", "fc"]
    assert [float(row["energy_joules"]) for row in read] == [row["energy_joules"] for row in rows]
    assert [int(row["total_cycles"]) for row in read] == [row["total_cycles"] for row in rows]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "1:1: missing column layer"),
        ([HEADER], "2:1: no layers below the header"),
        ([HEADER.replace("stride,", ""), CONVOLUTION], "1:1: missing column stride"),
        (
            [HEADER.replace("stride", "strides"), CONVOLUTION],
            "1:65: unknown column 'strides': did you mean 'stride'",
        ),
        ([f"{HEADER},macs", f"{CONVOLUTION},864"], "1:165: column 'macs' stands twice"),
        ([HEADER, CONVOLUTION, "conv,4,6"], "3:1: 3 cells, but the header has 14"),
        ([HEADER, CONVOLUTION.replace("864", "865")], "2:26: macs: 865, but .* make 864"),
        (
            [HEADER, "conv,4,6,3,3,1,1,2,2,3,2,864,2,4"],
            "2:22: output_height: 3, but .* at most 2 places on an input of 4",
        ),
        ([HEADER, "conv,4,6,5,3,1,1,2,2,2,2,864,2,4"], "2:10: kernel_height: 5 does not fit into an input of 4"),
        (
            [HEADER, "conv,4,0,3,3,1,1,2,2,2,2,864,2,4"],
            "2:8: output_channels: expected a whole number from 1",
        ),
        ([HEADER, "conv,-4,6,3,3,1,1,2,2,2,2,864,2,4"], "2:6: input_channels: expected .* found '-4'"),
        ([HEADER, "conv,4,6,3,3,1,1,2,2,2,2,864.0,2,4"], "2:26: macs: expected .* found '864.0'"),
        ([HEADER, "conv,4,6,3,3,1,1,2,2,2,2,864,2,33"], "2:32: weight_bits: expected .* to 32"),
        ([HEADER, "conv,4,6,3,3,1,1,2,2,2,2,864,,4"], "2:30: activation_bits: expected .* found ''"),
        ([HEADER, " ,4,6,3,3,1,1,2,2,2,2,864,2,4"], "2:1: layer: expected a name"),
        ([f"{HEADER},groups", f"{CONVOLUTION},4"], "2:8: output_channels: 6 channels .* 4 groups"),
        ([HEADER, CONVOLUTION, LINEAR, CONVOLUTION], "4:1: layer: 'conv' is already on line 2: give each row"),
        ([HEADER.replace(",", ";"), CONVOLUTION], "1:1: columns are separated by semicolons: separate them by commas"),
        ([HEADER, "fc,2000000,1,1,1,1,0,2000,2000,1,1,2000000,8,8"], "2:4: input_channels: .* more than"),
    ],
)
def test_a_wrong_table_is_told_where(tmp_path: Path, lines: list[str], message: str) -> None:
    path = table(tmp_path, *lines)
    with pytest.raises(ConfigurationError, match=message) as caught:
        priced(path)
    assert str(caught.value).startswith(f"{path}:")


def test_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.csv: cannot be read: No such file"):
        read_layers(tmp_path / "nowhere.csv")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"layer\xff")
    with pytest.raises(ConfigurationError, match=r"binary\.csv: not a text file in UTF-8"):
        read_layers(binary)
