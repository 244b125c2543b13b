"""Integer thresholds in execution: where they stand, that they do the work, and the same bits as real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bitmixer import StepwiseRun, convert, load_data, load_network, requantization
from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.errors import DatapathError
from bitmixer.execution import operands, run
from bitmixer.execution import requantization as report
from bitmixer.layers import Site
from bitmixer.network import MetaQuantizedNetwork


class Chains(nn.Module):
    """Two chains of thresholds (a clamp in one, falling channels in both) between a stem and a pool."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm1 = nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.mid, self.norm2, self.ceiling = nn.Conv2d(6, 8, 3, groups=2, bias=False), nn.BatchNorm2d(8), nn.ReLU6()
        self.last, self.norm3 = nn.Conv2d(8, 4, 1), nn.BatchNorm2d(4)
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm1(self.stem(x)))
        x = self.norm2(self.mid(x))
        x = torch.relu(self.norm3(self.last(self.ceiling(x))))
        return self.head(self.pool(x).flatten(1))


def twin(
    model: nn.Module, inputs: Tensor, bits: tuple[int, ...] = (1, 2, 4, 8), **options: Any
) -> MetaQuantizedNetwork:
    network = convert(model, bits, **options)
    network.calibrate_activations(inputs)
    network.calibrate_weights()
    network.quantize()
    return network.eval()


def randomize_norms(network: MetaQuantizedNetwork, generator: np.random.Generator) -> None:
    """Give every transition a norm of its own, with gains below, at and above zero."""
    for name in network.transitions:
        for norm in network.body.get_submodule(name).norms.values():  # type: ignore[operator, union-attr]
            channels = len(norm.weight)
            norm.weight.data = torch.from_numpy(generator.choice([-1.5, -0.5, 0.0, 0.7, 2.0], channels)).float()
            norm.bias.data = torch.from_numpy(generator.choice([-1.0, 0.0, 0.25, 1.0], channels)).float()
            if hasattr(norm, "running_mean"):
                norm.running_mean.copy_(torch.from_numpy(generator.normal(size=channels)))
                norm.running_var.copy_(torch.from_numpy(generator.uniform(0.01, 4, channels)))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), quantizer=st.sampled_from(["nested", "lsq", "dorefa"]), signed=st.booleans(),
    per_channel=st.booleans(),
)  # fmt: skip
def test_any_norms_give_the_same_logits(seed: int, quantizer: Any, signed: bool, per_channel: bool) -> None:
    generator = np.random.default_rng(seed)
    torch.manual_seed(seed)
    inputs = torch.randn(6, 2, 7, 6) if signed else torch.rand(6, 2, 7, 6)
    granularity: Any = "channel" if per_channel else "tensor"
    network = twin(Chains(), inputs, quantizer=quantizer, signed_input=signed, granularity=granularity)
    randomize_norms(network, generator)
    assignment = BitAssignment.random(network.sites, generator)
    assert list(report(network, inputs, assignment).values()).count("thresholds") == 2
    assert torch.equal(run(network, inputs, assignment, datapath="bit_serial"), run(network, inputs, assignment))


def test_ties_go_the_same_way() -> None:
    """Steps and norms of powers of two: every other sum lies exactly between two codes."""
    inputs = torch.randint(-4, 4, (40, 6)).float() / 4
    model = nn.Sequential(nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5, eps=0.0), nn.Linear(5, 3, bias=False))
    network = twin(model.eval(), inputs, (2, 8), pinned=())
    network.assign(network.uniform(2))
    for parameter in network.parameters():
        if parameter.dim() == 0:  # the logarithm of a step
            parameter.data.fill_(0.0)
    with torch.no_grad():
        network.sites[0].layer.weight.copy_(torch.randint(-2, 2, (5, 6)))
        network.sites[0].layer.weight_quantizer.log_step.fill_(-6 * float(np.log(2)))
        network.sites[1].layer.activation_quantizer.log_steps["2"].fill_(float(np.log(2)))
    read: list[Tensor] = []
    hook = network.sites[1].layer.register_forward_pre_hook(lambda _, values: read.append(values[0]))
    expected = run(network, inputs, network.uniform(2))
    hook.remove()
    halves = (read[0] / 2).frac().abs() == 0.5
    assert halves.float().mean() > 0.1
    assert torch.equal(run(network, inputs, network.uniform(2), datapath="bit_serial"), expected)


def test_the_whole_test_set_of_mnist5k() -> None:
    """Every image under one of four assignments."""
    network, (inputs, _) = load_network("resnet20_mnist5k"), load_data("mnist5k")
    drawn = [BitAssignment.random(network.sites, np.random.default_rng(seed)) for seed in range(2)]
    chosen = [network.uniform(2), network.uniform(3), *drawn]
    for assignment, part in zip(chosen, inputs.chunk(len(chosen)), strict=True):
        expected = run(network, part, assignment)
        assert torch.equal(run(network, part, assignment, datapath="bit_serial"), expected)


def test_the_report_says_what_every_site_does(digits_network: MetaQuantizedNetwork) -> None:
    inputs, assignment = load_data("digits")[0], digits_network.uniform(4)
    found = report(digits_network, inputs, assignment)
    assert list(found) == [site.name for site in digits_network.sites]
    assert [site for site, kind in found.items() if kind == "thresholds"] == [f"stages.{n}.0.conv1" for n in range(3)]
    assert found["stages.0.0.conv2"] == "add: a join of real numbers"
    assert "2 readers" in found["stem"]
    assert "stored" in found["stages.1.0.shortcut.0"] or "stored" in found["stages.1.0.conv2"]
    assert found[digits_network.sites[-1].name] == "output: the network's result is real numbers"


def test_thresholds_do_the_work_and_are_found_once_per_transition(
    digits_network: MetaQuantizedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, inputs = load_network("resnet8_digits"), load_data("digits")[0][:3]
    bisected: list[int] = []
    original = requantization.find_thresholds
    monkeypatch.setattr(requantization, "find_thresholds", lambda *a, **k: (bisected.append(1), original(*a, **k))[1])
    assignment = network.uniform(2)
    run(network, inputs, assignment, datapath="bit_serial", batch_size=1)
    assert len(bisected) == 3
    scaled: list[Site] = []
    unscaled = Site.scaled
    monkeypatch.setattr(Site, "scaled", lambda site, sums: (scaled.append(site), unscaled(site, sums))[1])
    run(network, inputs, assignment, datapath="bit_serial")
    names = {id(site.layer): site.name for site in network.sites}
    assert {names[id(site)] for site in scaled} == {name for name in names.values() if not name.endswith("0.conv1")}
    assert len(bisected) == 3
    run(network, inputs, {**assignment, "stages.1.0.conv2": BitWidths(4, 4)}, datapath="bit_serial")
    assert len(bisected) == 4


def test_thresholds_follow_weights_and_norms() -> None:
    inputs = torch.rand(5, 2, 7, 6)
    network = twin(Chains(), inputs, (2, 8))
    assignment = network.uniform(2)
    before = run(network, inputs, assignment, datapath="bit_serial")
    randomize_norms(network, np.random.default_rng(1))
    changed = run(network, inputs, assignment, datapath="bit_serial")
    assert not torch.equal(changed, before)
    assert torch.equal(changed, run(network, inputs, assignment))
    with torch.no_grad():
        network.sites[1].layer.activation_quantizer.log_steps["2"].add_(0.5)
    assert torch.equal(run(network, inputs, assignment, datapath="bit_serial"), run(network, inputs, assignment))


def test_runs_under_way_at_once_keep_their_widths_and_their_codes(digits_network: MetaQuantizedNetwork) -> None:
    inputs = load_data("digits")[0][:4]
    chosen = [digits_network.uniform(2), digits_network.uniform(8)]
    expected = [run(digits_network, inputs, assignment) for assignment in chosen]
    runs = [StepwiseRun(digits_network, inputs, datapath="bit_serial") for _ in chosen]
    read = [list(operands(digits_network, inputs, assignment)) for assignment in chosen]
    for position, site in enumerate(digits_network.sites):
        for stepwise, assignment in zip(runs, chosen, strict=True):
            for name in assignment if position == 0 else ():
                stepwise.commit(name, assignment[name])
            stepwise.advance(site.name)
    for stepwise, logits, codes in zip(runs, expected, read, strict=True):
        for of_site in codes:
            found = stepwise.operands(of_site.site)
            assert np.array_equal(found.activations, of_site.activations)
            assert np.array_equal(found.weights, of_site.weights)
        assert torch.equal(stepwise.finish(), logits)


@pytest.mark.parametrize("forget", [True, False])
def test_the_consumer_may_be_committed_after_its_producer_ran(
    digits_network: MetaQuantizedNetwork, forget: bool
) -> None:
    inputs, assignment = load_data("digits")[0][:4], digits_network.uniform(4)
    stepwise = StepwiseRun(digits_network, inputs, datapath="bit_serial")
    late = "stages.0.0.conv2"
    for name, widths in assignment.items():
        if name != late:
            stepwise.commit(name, widths)
    stepwise.advance("stages.0.0.conv1")
    stepwise.commit(late, assignment[late])
    assert stepwise.requantization == {"stem": stepwise.requantization["stem"], "stages.0.0.conv1": "thresholds"}
    assert torch.equal(stepwise.finish(forget=forget), run(digits_network, inputs, assignment))


class Tokens(nn.Module):
    """Linear layers on tokens: what stands behind the first is per feature, and behind the second per token."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(5, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.third(self.norm(self.second(torch.relu(self.first(x)))).relu()).mean(1)


def test_a_norm_over_tokens_keeps_real_numbers() -> None:
    inputs = torch.randn(9, 4, 5)
    network = twin(Tokens(), inputs, (2, 4))
    randomize_norms(network, np.random.default_rng(2))
    assignment = network.uniform(2)
    found = report(network, inputs, assignment)
    assert found["first"] == "thresholds"
    assert found["second"] == "norm: a batch-norm over tokens"
    assert torch.equal(run(network, inputs, assignment, datapath="bit_serial"), run(network, inputs, assignment))


def test_a_chain_to_what_is_no_number_is_refused() -> None:
    inputs = torch.rand(2, 2, 7, 6)
    network = twin(Chains(), inputs, (2, 8))
    with torch.no_grad():
        for norm in network.body.get_submodule("norm1").norms.values():  # type: ignore[operator, union-attr]
            norm.bias.fill_(torch.nan)
    with pytest.raises(DatapathError, match="no number has no bits"):
        run(network, inputs, network.uniform(2), datapath="bit_serial")
