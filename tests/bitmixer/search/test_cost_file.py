"""Costs from CSV: what is read, and where a wrong file is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bitmixer.bitwidths import BitWidths
from bitmixer.errors import DocumentError, SearchError
from bitmixer.graph import LayerGraph
from bitmixer.search.cost_file import CostFile

TABLE = """\
layer,weight_bits,activation_bits,cycles,joules
stem,8,8,100,1e-3
a,2,8,10,1e-6
a,8,8,40,4e-6
classifier,8,8,1,0
"""


@pytest.fixture
def graph(graph_of: Callable[..., LayerGraph]) -> LayerGraph:
    return graph_of({"a": (BitWidths(2, 8), BitWidths(8, 8))})


def written(folder: Path, text: str) -> CostFile:
    (folder / "costs.csv").write_text(text, encoding="utf-8")
    return CostFile.load(folder / "costs.csv")


def test_every_further_column_is_a_cost(tmp_path: Path, graph: LayerGraph) -> None:
    file = written(tmp_path, TABLE)
    assert file.kinds == ("cycles", "joules")
    cycles = file.cost(graph, "cycles")
    assert (cycles.name, cycles.fixed) == ("cycles", 101)
    assert cycles.prices == {"a": {BitWidths(2, 8): 10, BitWidths(8, 8): 40}}
    assert file.cost(graph, "joules").prices["a"][BitWidths(2, 8)] == 1e-6


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("layer,", "site,", r"costs\.csv:1:1: no column 'layer': expected layer, weight_bits, activation_bits"),
        ("a,2,8,10,1e-6", "a,2,8,10", r"costs\.csv:3:1: expected 5 cells"),
        ("a,2,8,10,1e-6", "a,2,8,10,1,1", r"costs\.csv:3:1: expected 5 cells"),
        ("a,2,8,10,", "a,2,8,ten,", r"costs\.csv:3:4: cycles: expected a number; got 'ten'"),
        ("a,2,8,10,", "a,2.5,8,10,", r"costs\.csv:3:2: weight_bits: expected a whole number; got '2\.5'"),
        ("a,2,8,10,", "a,2,8,nan,", r"costs\.csv: cycles of site 'a' at w2a8 is nan: expected a number of 0 or more"),
        ("a,2,8", "aa,2,8", r"costs\.csv:3:1: site 'aa' is not in small: did you mean 'a'"),
        ("a,2,8", "a,2,2", r"costs\.csv:3:1: site 'a' cannot run at w2a2: it allows w2a8, w8a8"),
        ("a,2,8,10,1e-6\n", "", r"costs\.csv: cycles of site 'a' at w2a8 is missing"),
        ("stem,8,8,100,1e-3\n", "", r"costs\.csv: cycles of site 'stem' at w8a8 is missing"),
        ("a,8,8", "a,2,8", r"costs\.csv:4:1: site 'a' at w2a8 is given twice"),
        ("stem,", '"st"em,', r"costs\.csv:2:1: not CSV"),
    ],
)
def test_a_wrong_table_is_placed(tmp_path: Path, graph: LayerGraph, old: str, new: str, message: str) -> None:
    assert TABLE.count(old) == 1
    with pytest.raises(SearchError, match=message):
        written(tmp_path, TABLE.replace(old, new)).cost(graph, "cycles")


def test_a_missing_file_suggests_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "costs.csv").write_text(TABLE, encoding="utf-8")
    (tmp_path / "cost.yaml").write_text("", encoding="utf-8")
    with pytest.raises(DocumentError, match=r"no such file; did you mean 'costs\.csv'\? Known: costs\.csv$"):
        CostFile.load(tmp_path / "cost.csv")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="no column 'layer'"):
        written(tmp_path, "")
