"""BSQ: the penalty, the scheme that a training finds, and the network that has it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bitmixer import convert, load_network
from bitmixer.assignment_file import load_assignment
from bitmixer.bitwidths import BitWidths
from bitmixer.data import ImageSet
from bitmixer.errors import DocumentError, TrainingError, UnknownSiteError
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import create, find_checkpoint
from bitmixer.quantizers import BitPlaneQuantizer
from bitmixer.training import loop
from bitmixer.training.bsq import PlaneLasso, planes_of
from bitmixer.training.expansion import collapse, expand, scheme_of, starting_scheme
from bitmixer.training.recipe import BitSparsity, Recipe, Training, find_recipe, load_recipe
from bitmixer.training.scheme import PlaneScheme
from bitmixer.training.scheme_search import find_scheme

RECIPE = """\
schema_version: 1
name: sparse
architecture: resnet8
width: 2
data: digits
bits: [8]
norm: shared
quantizer: symmetric
bit_sparsity: {strength: 1.0, interval: 1}
seed: 3
batch_size: 32
distillation: {teacher: none}
stages:
  - {name: planes, epochs: 3, optimizer: sgd, learning_rate: 0.1, step_learning_rate: 1.0e-3}
  - {name: weights, epochs: 1, learning_rate: 1.0e-3, passes: [highest]}
"""
SETTINGS = BitSparsity(strength=0.5, interval=1)


def recipe_of(folder: Path, *changes: tuple[str, str]) -> Recipe:
    text = RECIPE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = folder / "sparse.yaml"
    file.write_text(text, encoding="utf-8")
    return load_recipe(file)


def twin(scheme: Any = None) -> MetaQuantizedNetwork:
    torch.manual_seed(0)
    original = create("resnet8", input_channels=1, classes=10, width=2)
    return convert(original, [8], norm="shared", quantizer="symmetric", signed_input=False, scheme=scheme)


@pytest.fixture
def expanded(few_images: ImageSet) -> MetaQuantizedNetwork:
    network = twin(starting_scheme(twin(), 4))
    expand(network, BitPlaneQuantizer)
    network.calibrate_activations(torch.from_numpy(few_images.train_inputs[:32]))
    network.calibrate_weights()
    network.quantize()
    return network


def rows_of(recipe: Recipe, folder: Path, *, stop_after: int | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []

    def progress(row: dict[str, Any]) -> None:
        rows.append(row)
        if row["epoch"] == stop_after:
            raise KeyboardInterrupt

    loop.train(recipe, RECIPE, folder, progress=progress)
    return rows


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sparse")
    rows_of(recipe_of(folder), folder)
    return folder


def test_the_scheme_that_was_found_is_what_the_checkpoint_runs_at(trained: Path) -> None:
    checkpoint = find_checkpoint(trained)
    assert checkpoint.metrics is not None
    scheme = checkpoint.metrics["scheme"]
    network = load_network(trained)
    assert {site: widths.weight for site, widths in network.assignment.items()} == {
        site: max(2, planes + 1) for site, planes in scheme["planes"].items()
    }
    assert min(scheme["planes"].values()) < 7
    assert load_assignment(trained / "assignment.json", checkpoint.graph.layers) == network.assignment
    assert all(layer.pinned for layer in checkpoint.graph.layers)
    assert checkpoint.graph.stored_weight_bits == pytest.approx(
        scheme["stored_bits_per_weight"] * sum(layer.weights for layer in checkpoint.graph.layers)
    )
    assert 0.0 <= scheme["accuracy_before_fine_tuning"] <= 1.0
    for site in network.sites:  # a sign and a magnitude hold every code
        assert float(site.layer.weight_codes().abs().max()) <= 2 ** max(1, scheme["planes"][site.name]) - 1


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_an_interrupted_search_ends_where_it_would_have(trained: Path, tmp_path: Path, stop_after: int) -> None:
    recipe = recipe_of(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        rows_of(recipe, tmp_path, stop_after=stop_after)
    rows_of(recipe, tmp_path)
    for name in ("weights.safetensors", "scheme.json", "assignment.json"):
        hashes = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for folder in (trained, tmp_path)]
        assert hashes[0] == hashes[1], name


def test_collapsing_keeps_what_the_network_computes(expanded: MetaQuantizedNetwork, few_images: ImageSet) -> None:
    x = torch.from_numpy(few_images.test_inputs[:20])
    lasso = PlaneLasso(expanded, SETTINGS)
    with torch.no_grad():
        for number, site in enumerate(expanded.sites[1:-1]):  # shrink some layers, empty one
            planes_of(site).planes.mul_(0.0 if number == 2 else 0.6**number)
    lasso.adjust()
    network = twin(scheme_of(expanded).assignment)
    collapse(expanded, network)
    network.quantize()
    torch.testing.assert_close(network.eval()(x), expanded.eval()(x), rtol=1e-5, atol=1e-6)
    empty = [site for site in network.sites if not site.layer.weight.any()]
    assert [site.name for site in empty] == [expanded.sites[3].name]
    assert empty[0].layer.widths == BitWidths(2, 4)
    assert not empty[0].layer.weight.requires_grad


def test_the_penalty_weighs_every_layer_by_its_share_of_memory(expanded: MetaQuantizedNetwork) -> None:
    total = sum(site.layer.weight.numel() for site in expanded.sites)
    expected = 0.0
    for site in expanded.sites:
        quantizer = planes_of(site)
        codes = quantizer.encode(site.layer.weight).codes.abs().int()
        norms = [float(((codes >> plane) & 1).sum()) ** 0.5 for plane in range(7)]
        kept = max(norms) if site.name in ("stem", "classifier") else 0.0  # no way leads around them
        expected += site.layer.weight.numel() / total * 7 * (sum(norms) - kept)
    assert float(PlaneLasso(expanded, SETTINGS).penalty().detach()) == pytest.approx(0.5 * expected, rel=1e-4)


def test_without_reweighing_all_layers_weigh_the_mean(expanded: MetaQuantizedNetwork) -> None:
    norms = sum(float(planes_of(site).norms().detach().sum()) for site in expanded.sites)
    norms -= sum(float(planes_of(site).norms().detach().max()) for site in (expanded.sites[0], expanded.sites[-1]))
    plain = PlaneLasso(expanded, SETTINGS.model_copy(update={"reweighed": False}))
    assert float(plain.penalty().detach()) == pytest.approx(0.5 * 7 / len(expanded.sites) * norms, rel=1e-5)


def test_a_layer_without_a_way_around_keeps_its_largest_plane(expanded: MetaQuantizedNetwork) -> None:
    PlaneLasso(expanded, SETTINGS).penalty().backward()  # type: ignore[no-untyped-call]
    free = {}
    for site in expanded.sites:
        gradient = planes_of(site).planes.grad
        assert gradient is not None
        free[site.name] = [plane for plane in range(7) if not gradient[plane].any()]
    largest = {site.name: [int(planes_of(site).norms().argmax())] for site in expanded.sites}
    assert free == {name: largest[name] if name in ("stem", "classifier") else [] for name in free}


def test_a_layer_that_no_signal_passes_is_an_error(expanded: MetaQuantizedNetwork) -> None:
    with torch.no_grad():
        planes_of(expanded.sites[0]).planes.zero_()
    with pytest.raises(TrainingError, match=r"site 'stem': every weight is zero, and nothing leads around it: lower"):
        PlaneLasso(expanded, SETTINGS).adjust()


def test_a_stronger_penalty_leaves_fewer_bits(few_images: ImageSet, tmp_path: Path) -> None:
    stages = load_recipe(find_recipe("bsq_resnet8_cifar10")).quantized_stages[:1]
    stages = (stages[0].model_copy(update={"epochs": 4}),)
    training = Training(seed=1, batch_size=32, stages=stages, distillation={"teacher": "none"})
    bits = []
    for strength in (0.0, 1.0, 5.0):
        settings = BitSparsity(strength=strength, interval=2)
        found = find_scheme(twin, few_images, training, settings, tmp_path / str(strength))
        bits.append(found.scheme.bits_per_weight)
    assert bits[0] > bits[1] > bits[2]


def test_both_counts_of_bits() -> None:
    scheme = PlaneScheme(planes={"a": 3, "b": 0}, weights={"a": 100, "b": 300}, activations={"a": 4, "b": 4})
    assert scheme.bits_per_weight == 0.75
    assert scheme.stored_bits_per_weight == (4 * 100 + 2 * 300) / 400
    assert scheme.assignment == {"a": BitWidths(4, 4), "b": BitWidths(2, 4)}
    assert scheme.as_dict()["compression"] == pytest.approx(32 / 0.75)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("quantizer: symmetric", "quantizer: lsq")], "weights in bit planes need quantizer: symmetric"),
        ([("bits: [8]", "bits: [4, 8]")], "is the one width at which the search for a scheme starts"),
        ([("passes: [highest]", "passes: [random]")], r"one pass: write passes: \[highest\]"),
        ([("bit_sparsity: {strength: 1.0, interval: 1}\n", "")], "need each other"),
        ([("name: weights", "name: transitions")], "have no transitions"),
    ],
)  # fmt: skip
def test_recipes_that_contradict_themselves(changes: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=message):
        recipe_of(tmp_path, *changes)


def test_a_scheme_names_every_site_once() -> None:
    scheme = {site.name: BitWidths(3, 4) for site in twin().sites}
    assert set(twin(scheme).assignment.values()) == {BitWidths(3, 4)}
    with pytest.raises(UnknownSiteError, match=r"site 'classifier' has no widths in this scheme"):
        twin({name: widths for name, widths in scheme.items() if name != "classifier"})
    with pytest.raises(UnknownSiteError, match="did you mean 'stem'"):
        twin(scheme | {"stemm": BitWidths(3, 4)})


def test_a_scheme_can_be_trained_from_scratch(tmp_path: Path) -> None:
    scheme = {site.name: [3, 4] for site in twin().sites}
    text = "bits: [3]\nscheme: " + json.dumps(scheme)
    planes = RECIPE[RECIPE.index("  - {name: planes") : RECIPE.index("  - {name: weights")]
    sparsity = ("bit_sparsity: {strength: 1.0, interval: 1}\n", "")
    recipe = recipe_of(tmp_path, ("bits: [8]", text), sparsity, (planes, ""))
    rows_of(recipe, tmp_path)
    assert set(load_network(tmp_path).assignment.values()) == {BitWidths(3, 4)}


def test_fit_does_not_look_for_schemes(few_images: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="train it with find_scheme"):
        loop.fit(twin(), few_images, recipe_of(tmp_path), tmp_path)


class TwoWays(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.around, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(x + torch.relu(self.around(x)))  # type: ignore[no-any-return]


def test_what_a_shortcut_leads_around_may_vanish() -> None:
    network = convert(TwoWays(), [8], norm="shared", quantizer="symmetric")
    expand(network, BitPlaneQuantizer)
    network.calibrate_weights()
    with torch.no_grad():
        planes_of(network.sites[1]).planes.zero_()
    PlaneLasso(network, SETTINGS).adjust()
    assert [scheme_of(network).planes[name] for name in ("first", "around", "last")] == [7, 0, 7]
