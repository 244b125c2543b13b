"""Bit-widths: what an assignment accepts, and what it says of a wrong one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitmixer.bitwidths import BitAssignment, BitWidths, checked_bits
from bitmixer.errors import BitWidthError, UnknownSiteError


@dataclass(frozen=True)
class Place:
    name: str
    allowed: tuple[BitWidths, ...]


FREE = tuple(BitWidths.tied(bits) for bits in (2, 4, 8))
SITES = [
    Place("stem", (BitWidths(8, 8),)),
    Place("conv1", FREE),
    Place("conv2", FREE),
    Place("classifier", (BitWidths(8, 8),)),
]


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_uniform_gives_every_free_site_the_width_and_pinned_sites_their_own(bits: int) -> None:
    assignment = BitAssignment.uniform(SITES, bits)
    assert assignment["stem"] == assignment["classifier"] == (8, 8)
    assert assignment["conv1"] == assignment["conv2"] == (bits, bits)


def test_uniform_refuses_a_width_that_a_site_does_not_allow() -> None:
    with pytest.raises(BitWidthError, match="'conv1' cannot run at w3a3: it allows w2a2, w4a4, w8a8"):
        BitAssignment.uniform(SITES, 3)


@given(st.integers(0, 2**32))
def test_random_is_allowed_and_a_function_of_the_seed(seed: int) -> None:
    drawn = BitAssignment.random(SITES, np.random.default_rng(seed))
    assert drawn.checked(SITES) == drawn
    assert drawn == BitAssignment.random(SITES, np.random.default_rng(seed))


def test_random_draws_every_width_about_equally_often() -> None:
    generator = np.random.default_rng(3)
    drawn = [BitAssignment.random(SITES, generator)["conv2"].weight for _ in range(3000)]
    # 5 standard deviations of a binomial with p = 1/3.
    assert all(abs(drawn.count(bits) - 1000) < 5 * (3000 * 2 / 9) ** 0.5 for bits in (2, 4, 8))


def test_from_dict_reads_what_json_holds() -> None:
    assignment = BitAssignment.from_dict({"a": [4, 2], "b": (np.int64(8), np.int64(8))})
    assert assignment == {"a": BitWidths(4, 2), "b": BitWidths(8, 8)}
    assert assignment["a"].weight == 4
    assert str(assignment["a"]) == "w4a2"


@pytest.mark.parametrize("wrong", [4.0, [4], [4, 4, 4], ["four", 4], [4.5, 4], None, "44"])
def test_from_dict_refuses_what_is_no_pair_of_whole_numbers(wrong: Any) -> None:
    with pytest.raises(BitWidthError, match="'conv1': expected"):
        BitAssignment.from_dict({"conv1": wrong})


def test_checked_names_the_nearest_site() -> None:
    widths = {**BitAssignment.uniform(SITES, 4), "conv_2": BitWidths(4, 4)}
    with pytest.raises(UnknownSiteError, match="'conv_2' is not in this network: did you mean 'conv2'"):
        BitAssignment(widths).checked(SITES)


def test_checked_wants_every_site() -> None:
    widths = dict(BitAssignment.uniform(SITES, 4))
    del widths["conv2"]
    with pytest.raises(UnknownSiteError, match="'conv2' has no widths"):
        BitAssignment(widths).checked(SITES)


def test_checked_keeps_pinned_sites_pinned() -> None:
    widths = {**BitAssignment.uniform(SITES, 4), "stem": BitWidths(4, 4)}
    with pytest.raises(BitWidthError, match="'stem' cannot run at w4a4: it allows w8a8"):
        BitAssignment(widths).checked(SITES)


@given(st.permutations([site.name for site in SITES]))
def test_equal_assignments_have_equal_hashes_in_any_order(order: list[str]) -> None:
    assignment = BitAssignment.uniform(SITES, 4)
    shuffled = BitAssignment({name: assignment[name] for name in order})
    assert shuffled == assignment
    assert hash(shuffled) == hash(assignment)
    assert list(shuffled.checked(SITES)) == [site.name for site in SITES]


def test_different_assignments_differ() -> None:
    assert len({BitAssignment.uniform(SITES, bits) for bits in (2, 4, 8, 4)}) == 3


def test_an_assignment_does_not_follow_the_dict_it_came_from() -> None:
    widths = {"a": BitWidths(2, 2)}
    assignment = BitAssignment(widths)
    widths["a"] = BitWidths(8, 8)
    assert assignment["a"] == (2, 2)


@given(st.lists(st.integers(1, 8), min_size=1))
def test_checked_bits_are_distinct_and_ascending(bits: list[int]) -> None:
    assert list(checked_bits(bits)) == sorted(set(bits))


@pytest.mark.parametrize("bits", [[], [0], [9], [4, 0], [-2]])
def test_checked_bits_refuses_widths_that_do_not_exist(bits: list[int]) -> None:
    with pytest.raises(BitWidthError, match="from 1 to 8"):
        checked_bits(bits)
