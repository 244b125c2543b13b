"""Transitional norms: which sets exist, which one a transition uses, and what switching costs."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from bitmixer import convert
from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.errors import BitWidthError, UnknownSiteError
from bitmixer.layers import Affine, TransitionalNorm
from bitmixer.layers.transitional_norm import exactly_normalised, folded
from bitmixer.network import ANY, MetaQuantizedNetwork, transition
from bitmixer.networks import create

BITS = (2, 4, 8)


def randomise(norm: nn.Module) -> None:
    for tensor in norm.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)


@pytest.fixture
def original() -> nn.Module:
    return create("resnet8", input_channels=1, classes=5, width=4).eval()


@pytest.fixture
def network(original: nn.Module) -> MetaQuantizedNetwork:
    network = convert(original, BITS)
    for norm in norms(network).values():
        for member in norm.norms.values():
            randomise(member)
    return network


def norms(network: MetaQuantizedNetwork) -> dict[str, TransitionalNorm]:
    return {name: module for name, module in network.body.named_modules() if isinstance(module, TransitionalNorm)}


def test_a_norm_has_a_set_per_transition(network: MetaQuantizedNetwork) -> None:
    sets = {name: sorted(norm.norms) for name, norm in norms(network).items()}
    assert len(sets) == 9
    assert sets.pop("stem_norm") == ["8_2", "8_4", "8_8"]
    assert sets.pop("stages.2.0.norm2") == ["2_8", "4_8", "8_8"]
    assert sets.pop("stages.2.0.shortcut.1") == ["2_8", "4_8", "8_8"]
    assert all(keys == sorted(f"{a}_{b}" for a in BITS for b in BITS) for keys in sets.values())


@pytest.mark.parametrize("bits", BITS)
def test_uniform_widths_are_switchable_batch_norm(
    network: MetaQuantizedNetwork, original: nn.Module, bits: int
) -> None:
    """AdaBits: one ordinary batch-norm per width, chosen by the width of the whole network."""
    switchable = copy.deepcopy(original)
    for name, norm in norms(network).items():
        before = 8 if name == "stem_norm" else bits
        after = 8 if name in ("stages.2.0.norm2", "stages.2.0.shortcut.1") else bits
        switchable.get_submodule(name).load_state_dict(norm.norms[f"{before}_{after}"].state_dict())
    network.assign(network.uniform(bits))
    x = torch.randn(4, 1, 8, 8)
    assert torch.equal(network(x), switchable(x))


def test_uniform_widths_never_touch_what_is_off_the_diagonal(network: MetaQuantizedNetwork) -> None:
    x = torch.randn(4, 1, 8, 8)

    def logits(assignment: BitAssignment) -> Tensor:
        network.assign(assignment)
        return network(x).detach()

    expected = {bits: logits(network.uniform(bits)) for bits in BITS}
    for norm in norms(network).values():
        if len(norm.norms) == len(BITS) ** 2:
            for key, member in norm.norms.items():
                if len(set(key.split("_"))) == 2:
                    nn.init.constant_(member.bias, float("nan"))
    assert all(torch.equal(logits(network.uniform(bits)), expected[bits]) for bits in BITS)
    mixed = BitAssignment({**network.uniform(4), "stages.1.0.conv1": BitWidths(2, 2)})
    assert bool(logits(mixed).isnan().all())


def test_a_change_of_one_layer_moves_the_norms_around_it_alone(network: MetaQuantizedNetwork) -> None:
    network.assign(network.uniform(4))
    before = {name: norm.current for name, norm in norms(network).items()}
    network.assign({**network.uniform(4), "stages.1.0.conv1": BitWidths(2, 2)})
    moved = {name: norm.current for name, norm in norms(network).items() if norm.current != before[name]}
    # Its own norm (2 -> 4), and the norm of the layer whose key consumer it is (4 -> 2).
    assert moved == {"stages.1.0.norm1": "2_4", "stages.0.0.norm2": "4_2"}


def test_assigning_copies_no_weights(network: MetaQuantizedNetwork) -> None:
    def places() -> list[tuple[int, int]]:
        return [(tensor.data_ptr(), tensor._version) for tensor in network.state_dict(keep_vars=True).values()]

    before = places()
    for bits in BITS:
        network.assign(network.uniform(bits))
        assert network.assignment == network.uniform(bits)
    assert places() == before


def test_a_refused_assignment_changes_nothing(network: MetaQuantizedNetwork) -> None:
    network.assign(network.uniform(4))
    with pytest.raises(UnknownSiteError, match="did you mean 'classifier'"):
        network.assign({**network.uniform(2), "classifer": BitWidths(2, 2)})
    with pytest.raises(BitWidthError, match="'stem' cannot run at w2a2: it allows w8a8"):
        network.assign({**network.uniform(2), "stem": BitWidths(2, 2)})
    assert network.assignment == network.uniform(4)


def test_a_transition_is_the_producers_weight_bits_and_the_consumers_activation_bits() -> None:
    assignment = {"a": BitWidths(2, 3), "b": BitWidths(4, 8)}
    assert transition(assignment, "a", "b") == (2, 8)
    assert transition(assignment, "b", None) == (4, ANY)


def test_transitions_start_from_their_producers_own_width(network: MetaQuantizedNetwork) -> None:
    norm = norms(network)["stages.1.0.norm1"]
    diagonal = {bits: norm.norms[f"{bits}_{bits}"].weight.detach().clone() for bits in BITS}
    pinned_before = norms(network)["stem_norm"].norms["8_2"].weight.detach().clone()
    network.start_transitions()
    for key, member in norm.norms.items():
        assert torch.equal(member.weight, diagonal[int(key.split("_")[0])])
    stem = norms(network)["stem_norm"].norms
    assert torch.equal(stem["8_2"].weight, stem["8_8"].weight)
    assert not torch.equal(stem["8_2"].weight, pinned_before)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.BatchNorm2d])
def test_folding_gives_what_the_norm_gives(norm: type[nn.BatchNorm1d | nn.BatchNorm2d], affine: bool) -> None:
    original = norm(6, affine=affine).eval()
    randomise(original)
    x = torch.randn(3, 6) if norm is nn.BatchNorm1d else torch.randn(3, 6, 4, 4)
    transitional = TransitionalNorm(original, [4], [4]).eval()
    transitional.integer = True
    torch.testing.assert_close(transitional(x), original(x))
    scale, shift = folded(original)
    assert scale.shape == shift.shape == (6,)
    # As hardware does it: one multiplication and one addition per element, each rounded.
    per_channel = (-1, *([1] * (x.dim() - 2)))
    expected = x.numpy() * scale.reshape(per_channel).numpy() + shift.reshape(per_channel).numpy()
    assert torch.equal(transitional(x), torch.from_numpy(expected))
    assert not scale.requires_grad


SAMPLE_NORMS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.LayerNorm(48), (5, 7, 48)),
    (nn.LayerNorm((6, 8), elementwise_affine=False), (5, 4, 6, 8)),
    (nn.GroupNorm(3, 12), (5, 12, 6, 4)),
    (nn.InstanceNorm2d(6, affine=True), (5, 6, 9, 7)),
    (nn.InstanceNorm1d(6), (5, 6, 31)),
]


@pytest.mark.parametrize(("norm", "shape"), SAMPLE_NORMS, ids=lambda value: type(value).__name__)
def test_norms_with_statistics_of_samples_keep_to_torch_in_integer_evaluation(
    norm: nn.Module, shape: tuple[int, ...]
) -> None:
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    transitional = TransitionalNorm(norm, [2, 4], [2, 4]).eval()
    x = torch.randn(*shape) * 3 + 1
    assert torch.equal(transitional(x), norm(x))
    transitional.integer = True
    torch.testing.assert_close(transitional(x), norm(x), rtol=1e-3, atol=1e-3)
    assert torch.equal(transitional(x[:1]), transitional(x)[:1])


def test_statistics_of_samples_do_not_depend_on_the_order() -> None:
    norm, x = nn.LayerNorm(512), torch.randn(4, 512) * torch.logspace(-3, 2, 512)
    order = torch.randperm(512)
    assert not torch.equal(norm(x)[:, order], norm(x[:, order]))
    assert torch.equal(exactly_normalised(norm, x)[:, order], exactly_normalised(norm, x[:, order]))


def test_an_affine_changes_nothing_until_it_is_trained() -> None:
    x = torch.randn(3, 4, 5, 5)
    affine = Affine(4, trailing_axes=2)
    assert torch.equal(affine(x), x)
    with torch.no_grad():
        affine.weight.copy_(torch.arange(4.0))
        affine.bias.fill_(1.0)
    assert torch.equal(affine(x), x * torch.arange(4.0).reshape(4, 1, 1) + 1)


def test_an_affine_learns_for_each_transition_by_itself() -> None:
    twin = convert(nn.Sequential(*(nn.Linear(3, 3) for _ in range(4))), [2, 8])
    twin.assign(twin.uniform(2))
    twin(torch.randn(5, 3)).square().sum().backward()
    touched = {name for name, parameter in twin.named_parameters() if "affine" in name and parameter.grad is not None}
    transitions = {name.split("norms.")[1].rsplit(".", 1)[0] for name in touched}
    assert transitions == {"8_2", "2_2", "2_8"}
