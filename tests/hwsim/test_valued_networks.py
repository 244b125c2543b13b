"""Cycles of a whole network, from the weights and activations that flow through it."""

from __future__ import annotations

import numpy as np
import pytest

from bitmixer.bitwidths import BitAssignment
from bitmixer.errors import UnknownSiteError
from bitmixer.networks.checkpoint import find_checkpoint
from bitmixer.operands import SiteOperands
from hwsim.cost.arrays.valued import BitVert, BitWave, Loom, Pragmatic, ValueArray, bound_cycles, network_cycles
from hwsim.errors import ConfigurationError
from hwsim.outputs import LoadedNetwork

GRID = {"lanes": 8, "columns": 4, "rows": 4, "tiles": 2}
BY_ACTIVATIONS: list[ValueArray] = [Loom(**GRID), Pragmatic(**GRID)]
BY_WEIGHTS: list[ValueArray] = [
    BitWave(group=8, rows=4, columns=4),
    BitVert(group=8, rows=4, columns=4, multipliers=4),
]
ARRAYS = [*BY_ACTIVATIONS, *BY_WEIGHTS]
IMAGES = np.arange(6)


def name_of(array: ValueArray) -> str:
    return array.name


@pytest.fixture(scope="module")
def loaded(one_thread: None) -> LoadedNetwork:
    return LoadedNetwork(find_checkpoint("resnet8_digits"), "digits")


def multiplied(
    loaded: LoadedNetwork, bits: int | BitAssignment, images: np.ndarray[tuple[int], np.dtype[np.int64]] = IMAGES
) -> list[SiteOperands]:
    assignment = loaded.graph.uniform(bits) if isinstance(bits, int) else bits
    return list(loaded.operands(tuple(assignment.values()), images))


@pytest.mark.parametrize("array", BY_ACTIVATIONS, ids=name_of)
def test_another_image_takes_other_cycles(array: ValueArray, loaded: LoadedNetwork) -> None:
    per_image = network_cycles(array, loaded.graph, multiplied(loaded, 4)).sum(axis=0)
    assert len(set(per_image.tolist())) > len(IMAGES) // 2, "images that differ all take the same cycles"
    swapped = network_cycles(array, loaded.graph, multiplied(loaded, 4, np.flip(IMAGES).copy())).sum(axis=0)
    assert swapped.tolist() == per_image[::-1].tolist()


@pytest.mark.parametrize("array", ARRAYS, ids=name_of)
def test_an_image_takes_the_same_cycles_in_any_company(array: ValueArray, loaded: LoadedNetwork) -> None:
    together = network_cycles(array, loaded.graph, multiplied(loaded, 2))
    for image in IMAGES[:3]:
        alone = network_cycles(array, loaded.graph, multiplied(loaded, 2, IMAGES[[image]]))
        assert alone[:, 0].tolist() == together[:, image].tolist()


@pytest.mark.parametrize("array", BY_WEIGHTS, ids=name_of)
def test_where_weights_alone_count_images_take_the_same_cycles(array: ValueArray, loaded: LoadedNetwork) -> None:
    cycles = network_cycles(array, loaded.graph, multiplied(loaded, 4))
    assert (cycles == cycles[:, :1]).all()


@pytest.mark.parametrize("array", ARRAYS, ids=name_of)
@pytest.mark.parametrize("seed", range(3))
def test_static_bounds_hold_under_any_assignment(array: ValueArray, seed: int, loaded: LoadedNetwork) -> None:
    assignment = BitAssignment.random(loaded.graph.layers, np.random.default_rng(seed))
    cycles = network_cycles(array, loaded.graph, multiplied(loaded, assignment))
    bounds = [bound_cycles(array, layer, assignment[layer.name]) for layer in loaded.graph.layers]
    assert (cycles <= np.array(bounds)[:, None]).all()
    assert cycles.sum(axis=0).max() < sum(bounds), "no value let anything be skipped"
    assert (cycles > 0).all()


@pytest.mark.parametrize("array", ARRAYS, ids=name_of)
def test_fewer_bits_take_fewer_cycles(array: ValueArray, loaded: LoadedNetwork) -> None:
    totals = [network_cycles(array, loaded.graph, multiplied(loaded, bits)).sum() for bits in (8, 4, 2)]
    assert totals == sorted(totals, reverse=True)
    assert totals[0] > totals[2]


def test_operands_that_do_not_belong_are_refused(loaded: LoadedNetwork) -> None:
    found = multiplied(loaded, 4)
    array = Loom(**GRID)
    with pytest.raises(ConfigurationError, match=f"no operands of {found[1].site}: give those of every site"):
        network_cycles(array, loaded.graph, [found[0], *found[2:]])
    with pytest.raises(ConfigurationError, match="'stem' has operands twice"):
        network_cycles(array, loaded.graph, [*found, found[0]])
    other = SiteOperands(
        site="steam", widths=found[0].widths, weights=found[0].weights, activations=found[0].activations
    )
    with pytest.raises(UnknownSiteError, match="did you mean 'stem'"):
        network_cycles(array, loaded.graph, [other])
