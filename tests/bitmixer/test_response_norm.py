"""Local response norm: converted as it is, charged to the vector unit, never a source of negative values."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitmixer import capture, convert


class Responding(nn.Module):
    """Both spellings, each behind a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(2, 6, 3), nn.Conv2d(6, 4, 1), nn.Linear(4, 3)
        self.norm = nn.LocalResponseNorm(5, alpha=0.5, k=2.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(torch.relu(self.first(x)))
        x = F.local_response_norm(torch.relu(self.second(x)), 3, alpha=0.25)
        return self.head(x.mean((2, 3)))


def test_the_twin_equals_the_original() -> None:
    model, x = Responding(), torch.randn(3, 2, 6, 6)
    assert torch.equal(convert(model)(x), model(x))


def test_layers_behind_it_take_unsigned_codes() -> None:
    network = convert(Responding())
    signed = {site.name: site.layer.activation_quantizer.signed for site in network.sites}
    assert signed == {"first": True, "second": False, "head": False}


def test_integer_results_do_not_depend_on_the_batch() -> None:
    x = torch.randn(5, 2, 6, 6)
    network = convert(Responding())
    network.calibrate_weights()
    network.calibrate_activations(x)
    network.quantize()
    network.eval()
    with torch.no_grad():
        assert torch.equal(network(x), torch.cat([network(one) for one in x.split(1)]))


def test_three_operations_per_element_are_charged() -> None:
    """Beside the affine and the ReLU before it; behind the second norm, the mean looks at every element again."""
    graph = capture(convert(Responding()), torch.zeros(1, 2, 6, 6))
    first, second = 6 * 4 * 4, 4 * 4 * 4
    operations = {layer.name: layer.vector_operations for layer in graph.layers}
    assert operations == {"first": (1 + 1 + 3) * first, "second": (1 + 1 + 3 + 1) * second, "head": 0}
