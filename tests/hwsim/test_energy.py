"""Energy is counts times table, split over thermal nodes without loss."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwsim.cost.energy import ACTIONS, ELSEWHERE, EnergyEntry, EnergyTable
from hwsim.errors import ConfigurationError

NODES = ("die", "board")


def entry(name: str, action: str, joules: float, node: str = "die") -> EnergyEntry:
    return EnergyEntry(name=name, action=action, joules=joules, node=node)


TABLE = EnergyTable(
    entries=(
        entry("lanes", "binary_mac", 0.5),
        entry("phy", "dram_bit", 3.0),
        entry("dram", "dram_bit", 4.0, ELSEWHERE),
        entry("regulator", "dram_bit", 1.0, "board"),
    )
)


def test_by_hand() -> None:
    counts = {"binary_mac": np.array([10, 20]), "dram_bit": np.array([1, 2]), "array_cycle": np.array([9, 9])}
    assert TABLE.energy_joules(counts).tolist() == [13.0, 26.0]
    assert TABLE.node_energy_joules(counts, NODES).tolist() == [[8.0, 1.0, 4.0], [16.0, 2.0, 8.0]]


def test_counts_broadcast() -> None:
    counts = {"binary_mac": np.array([[2], [4]]), "dram_bit": np.array([[1, 2, 3]])}
    assert TABLE.energy_joules(counts).tolist() == [[9.0, 17.0, 25.0], [10.0, 18.0, 26.0]]
    assert TABLE.node_energy_joules(counts, NODES).shape == (2, 3, 3)


entries = st.lists(
    st.tuples(st.sampled_from(sorted(ACTIONS)), st.floats(0, 1e-6), st.sampled_from([*NODES, ELSEWHERE])),
    max_size=12,
)


@given(entries, st.lists(st.integers(0, 10**12), min_size=len(ACTIONS), max_size=len(ACTIONS)))
def test_nodes_share_out_the_whole_energy(parts: list[tuple[str, float, str]], numbers: list[int]) -> None:
    table = EnergyTable(entries=tuple(entry(str(i), *part) for i, part in enumerate(parts)))
    counts = {action: np.array([number]) for action, number in zip(sorted(ACTIONS), numbers, strict=True)}
    one_by_one = sum(joules * int(counts[action][0]) for action, joules, _ in parts)
    assert table.energy_joules(counts)[0] == pytest.approx(one_by_one, rel=1e-12)
    assert table.node_energy_joules(counts, NODES).sum() == pytest.approx(one_by_one, rel=1e-12)


def test_unknown_action_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="unknown action 'dram_bits': did you mean 'dram_bit'"):
        entry("dram", "dram_bits", 1.0)


@pytest.mark.parametrize("joules", [-1.0, float("nan"), float("inf")])
def test_impossible_energy_is_refused(joules: float) -> None:
    with pytest.raises(ConfigurationError, match=r"'dram'.*expected a finite number"):
        entry("dram", "dram_bit", joules)


def test_one_name_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="two entries named 'dram'"):
        EnergyTable(entries=(entry("dram", "dram_bit", 1.0), entry("dram", "array_cycle", 1.0)))


def test_unknown_node_names_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"'dram'.*no thermal node 'dye': did you mean 'die'"):
        EnergyTable(entries=(entry("dram", "dram_bit", 1.0, "dye"),)).node_energy_joules(
            {"dram_bit": np.array([1])}, NODES
        )
