"""ReLUs that quantisers do: same values, same gradients, and back where they are needed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitmixer import convert
from bitmixer.layers import AbsorbedReLU, StoredTensor
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import create


def quantised() -> MetaQuantizedNetwork:
    network = convert(create("resnet8", input_channels=3, classes=5, width=4), [2, 4, 8]).train()
    network.calibrate_activations(torch.randn(16, 3, 8, 8))
    network.calibrate_weights()
    network.quantize()
    network.assign(network.uniform(4))
    return network


def with_its_relus(network: MetaQuantizedNetwork) -> MetaQuantizedNetwork:
    """Return the network with every ReLU done by itself."""
    plain = copy.deepcopy(network)
    for name, module in list(plain.body.named_modules()):
        if isinstance(module, AbsorbedReLU):
            setattr(plain.body, name, nn.ReLU())
    return plain


def absorbed(network: nn.Module) -> list[AbsorbedReLU]:
    return [module for module in network.modules() if isinstance(module, AbsorbedReLU)]


def test_values_and_gradients_are_those_of_the_relus() -> None:
    network = quantised()
    plain = with_its_relus(network)
    assert len(absorbed(network)) == 6  # all but the one before the average
    x = torch.randn(16, 3, 8, 8)
    for each in (network, plain):
        each(x).square().sum().backward()
    assert torch.equal(network(x), plain(x))
    expected = {name: parameter.grad for name, parameter in plain.named_parameters() if parameter.grad is not None}
    gradients = {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-4)
    assert torch.equal(network.eval()(x), plain.eval()(x))


def test_a_channel_that_is_zero_throughout_gets_no_gradient() -> None:
    """As from a ReLU: a dead channel whose norm shifts by zero gives exact zeros."""
    network = quantised()
    norm = network.body.get_submodule("stem_norm")
    for each in norm.norms.values():
        nn.init.zeros_(each.weight)
        nn.init.zeros_(each.bias)
    network(torch.randn(4, 3, 8, 8)).sum().backward()
    assert float(norm.norms["8_4"].bias.grad.abs().max()) == 0.0


@pytest.mark.parametrize("off", [0, 1, 2])
def test_a_reader_that_does_not_round_brings_the_relu_back(off: int) -> None:
    network = quantised()
    relu = absorbed(network)[0]
    x = torch.randn(20)
    assert relu(x) is x
    readers = relu.readers
    for number, reader in enumerate(readers):
        if number == off % len(readers):
            setattr(reader, "quantize" if hasattr(reader, "quantize") else "quantize_activations", False)
    assert torch.equal(relu(x), torch.relu(x))


def test_a_copy_reads_its_own_readers() -> None:
    network = quantised()
    other = copy.deepcopy(network)
    other.quantize(activations=False)
    assert not any(reader.rounds_input for relu in absorbed(other) for reader in relu.readers)
    assert all(reader.rounds_input for relu in absorbed(network) for reader in relu.readers)


class OtherReaders(nn.Module):
    """One ReLU goes through a pool, one is bounded above, one is read by an average, and one by a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList([nn.Conv2d(3, 3, 3, padding=1) for _ in range(4)])
        self.classifier = nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        first, second, third, fourth = self.convolutions
        x = second(F.max_pool2d(torch.relu(first(x)), 2))
        x = fourth(torch.relu(third(F.relu6(x))))
        return self.classifier(F.relu(x).mean((2, 3)))


def test_only_relus_that_go_straight_to_a_rounding_layer_are_absorbed() -> None:
    network = convert(OtherReaders())
    targets = [node.target for node in network.body.graph.nodes]
    assert len(absorbed(network)) == 1
    assert [targets.count(function) for function in (torch.relu, F.relu6, F.relu)] == [1, 1, 1]


class PoolBesideProjection(nn.Module):
    """One ReLU is read by a pool, which does not round, and by the copy that waits for a projection, which does."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.main, self.end = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 5)
        self.deeper, self.projection = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        y = self.deeper(self.main(F.max_pool2d(x, 2)))
        return self.end((y + self.projection(x)).mean((2, 3)))


def test_a_relu_with_one_reader_that_never_rounds_stays() -> None:
    network = convert(PoolBesideProjection())
    (relu,) = [node for node in network.body.graph.nodes if node.target is torch.relu]
    assert len(relu.users) == 2
    assert any("stored" in user.name for user in relu.users)
    assert not absorbed(network)


def test_training_rounds_only_what_strided_projections_read() -> None:
    """Same values and gradients; the steps' are sums over a quarter of the elements, which LSQ's factor counts."""
    network = quantised()
    whole = copy.deepcopy(network)
    thinned = [module for module in network.modules() if isinstance(module, StoredTensor) and module.read_stride[0] > 1]
    assert len(thinned) == 2  # before the two projections, not where a join reads
    for module in whole.modules():
        if isinstance(module, StoredTensor):
            module.read_stride = (1, 1)
    x = torch.randn(16, 3, 8, 8)
    torch.testing.assert_close(network(x), whole(x))
    for each in (network, whole):
        each(x).square().sum().backward()
    expected = dict(whole.named_parameters())
    for name, parameter in network.named_parameters():
        gradient = expected[name].grad
        if parameter.grad is None or gradient is None:
            assert parameter.grad is gradient
            continue
        concerned = "log_steps" in name and ("relu" in name or "shortcut" in name) and "weight" not in name
        scaled = gradient * 2 if concerned else gradient
        torch.testing.assert_close(parameter.grad, scaled, rtol=1e-3, atol=1e-3)
    assert torch.equal(network.eval()(x), whole.eval()(x))
    stored = thinned[0].eval()
    assert stored(torch.rand(2, 4, 8, 8)).shape == (2, 4, 8, 8)  # hardware stores it whole
