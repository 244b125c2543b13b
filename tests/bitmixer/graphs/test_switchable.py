"""One network at any of its widths, against networks tuned for one."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from bitmixer.errors import BitWidthError
from bitmixer.graphs.network import GraphNetwork, GraphNetworkForm, Schedule
from bitmixer.graphs.networks import create_graph_network
from bitmixer.graphs.switchable import random_assignment, train_switchable, uniform_assignments
from bitmixer.graphs.topology import Topology
from bitmixer.graphs.training import fine_tune, judge, train

WIDTHS = (1, 2, 4, 8)


@pytest.fixture(scope="module")
def real(topology: Topology, form: GraphNetworkForm) -> GraphNetwork:
    torch.manual_seed(0)
    network = create_graph_network("gcn", form)
    train(network, topology, Schedule(learning_rate=0.01, weight_decay=5e-4, epochs=80), seed=0)
    return network


def test_one_network_comes_near_to_those_tuned_for_a_width(real: GraphNetwork, topology: Topology) -> None:
    switchable = copy.deepcopy(real)
    train_switchable(switchable, topology, WIDTHS, seed=0, epochs=60)
    weights = copy.deepcopy(switchable.state_dict())
    for assignment in uniform_assignments(real, WIDTHS):
        dedicated = copy.deepcopy(real)
        fine_tune(dedicated, topology, assignment, seed=0, epochs=30)
        switchable.assign(assignment)
        assert judge(switchable, topology).test > judge(dedicated, topology).test - 0.03
    generator = np.random.default_rng(1)
    for _ in range(3):
        switchable.assign(random_assignment(switchable, WIDTHS, generator))
        assert judge(switchable, topology).test > 0.5  # chance is 1/3
    after = switchable.state_dict()
    assert all(torch.equal(after[key], weights[key]) for key in weights)  # nothing was trained or measured again


def test_switching_there_and_back_gives_the_same_logits(real: GraphNetwork, topology: Topology) -> None:
    network = copy.deepcopy(real)
    high, low = uniform_assignments(network, (8, 2))
    network.calibrate(topology, [high, low])
    network.assign(high)
    network.eval()
    before = network(topology)
    network.assign(low)
    assert not torch.equal(network(topology), before)
    network.assign(high)
    assert torch.equal(network(topology), before)


def test_a_width_that_was_not_built_in_is_refused(real: GraphNetwork, topology: Topology) -> None:
    with pytest.raises(BitWidthError, match="cannot run at"):
        train_switchable(copy.deepcopy(real), topology, (3, 8), seed=0, epochs=1)
