"""Training in eight-bit floats: what is multiplied, what is kept, what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from bitmixer import convert
from bitmixer.errors import DocumentError, TrainingError
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import ARCHITECTURES, create
from bitmixer.quantizers.float8 import round_to_format
from bitmixer.quantizers.float_formats import E4M3, E5M2, FLOAT16, FloatFormat
from bitmixer.structure import analyse
from bitmixer.tracing import trace
from bitmixer.training import loop
from bitmixer.training.float8 import Float8Arithmetic
from bitmixer.training.float8_products import EMULATED, Geometry, LayerProducts, Rounders
from bitmixer.training.float8_settings import Float8
from bitmixer.training.loss_scaling import LossScaler
from bitmixer.training.optimizer import build_optimizer
from bitmixer.training.ranks import ALONE
from bitmixer.training.recipe import Recipe, load_recipe
from bitmixer.training.scaled_products import ScaledProducts, require_scaled_mm
from bitmixer.training.state import read_history

CONTENT: dict[str, Any] = {
    "schema_version": 1, "name": "tiny", "architecture": "resnet8", "width": 2, "data": "digits", "bits": [2, 8],
    "seed": 3, "batch_size": 32, "float8": {},
    "stages": [
        {"name": "float", "epochs": 2, "learning_rate": 4e-3},
        {"name": "weights", "epochs": 2, "learning_rate": 2e-3},
        {"name": "transitions", "epochs": 2, "learning_rate": 2e-3},
    ],
}  # fmt: skip


def recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate(CONTENT | changes)


def arithmetic(network: nn.Module, **settings: Any) -> Float8Arithmetic:
    made = Float8Arithmetic(network, Float8.model_validate(settings), seed=0, ranks=ALONE)
    made.begin_epoch(0)
    return made


def backward_pass(network: nn.Module, numbers: Float8Arithmetic, inputs: Tensor) -> None:
    labels = torch.arange(len(inputs)) % 10
    with numbers.products(is_counted=True):
        (F.cross_entropy(network(inputs), labels) * numbers.loss_scale).backward()


# Both operands of all three products.


class ProductsSeen(TorchDispatchMode):
    """Sees every product that torch really computes, and which pairs of operands have eight bits."""

    def __init__(self, form: FloatFormat) -> None:
        super().__init__()
        self.form = form
        self.forward: list[bool] = []
        self.backward: list[bool] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kind = func.overloadpacket
        if kind in (torch.ops.aten.convolution, torch.ops.aten.addmm):
            operands = args[1:3] if kind is torch.ops.aten.addmm else args[:2]
            self.forward.append(self._narrow(operands))
        elif kind is torch.ops.aten.convolution_backward:
            self.backward += [self._narrow(args[:3])] * sum(args[-1][:2])
        elif kind is torch.ops.aten.mm:
            self.backward.append(self._narrow(args[:2]))
        return func(*args, **(kwargs or {}))

    def _narrow(self, operands: Any) -> bool:
        return all(torch.equal(round_to_format(each, self.form), each.float()) for each in operands)


@pytest.mark.parametrize(("name", "form"), [("e5m2", E5M2), ("e4m3", E4M3)])
@pytest.mark.parametrize("architecture", ["resnet8", "mobilenetv2_cifar", "patch_transformer"])
def test_both_operands_of_all_three_products_have_eight_bits(architecture: str, name: str, form: FloatFormat) -> None:
    torch.manual_seed(0)
    network = create(architecture, input_channels=1, classes=10, width=8)
    layers = sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules())
    inputs = torch.rand(4, 1, 16, 16)
    with ProductsSeen(form) as seen:
        backward_pass(network, arithmetic(network, format=name, exempt=[], saturate=True), inputs)
    assert len(seen.forward) == layers
    assert len(seen.backward) == 2 * layers - 1  # nobody asks for the gradient of the images
    assert all(seen.forward + seen.backward)


def test_exempt_layers_multiply_real_numbers() -> None:
    network = create("resnet8", input_channels=1, classes=10, width=4)
    with ProductsSeen(E5M2) as seen:
        backward_pass(network, arithmetic(network), torch.rand(4, 1, 8, 8))
    assert not seen.forward[0]
    assert not seen.forward[-1]
    assert all(seen.forward[1:-1])
    assert seen.backward[:2] == [False, False]  # the classifier's come first
    assert all(seen.backward[2:-1])


def test_the_backward_products_of_few_bits_have_eight() -> None:
    torch.manual_seed(0)
    network = quantized()
    with ProductsSeen(E5M2) as seen:
        backward_pass(network, arithmetic(network, exempt=[]), torch.rand(4, 1, 8, 8))
    assert all(seen.backward)
    assert len(seen.backward) == 2 * len(network.sites)  # the step of the images' codes learns, too
    assert not any(seen.forward)  # codes of eight bits times a learned step


def quantized() -> MetaQuantizedNetwork:
    original = create("resnet8", input_channels=1, classes=10, width=4)
    network = convert(original, [2, 8], signed_input=False).train()
    network.calibrate_activations(torch.rand(16, 1, 8, 8))
    network.calibrate_weights()
    network.quantize()
    return network


@pytest.mark.parametrize("architecture", sorted({form.builder: name for name, form in ARCHITECTURES.items()}.values()))
def test_the_first_and_the_last_layer_are_those_that_run_first_and_last(architecture: str) -> None:
    network = create(architecture, input_channels=3, classes=10, width=16)
    layers = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    sites = [str(site.target) for site in analyse(trace(network).graph).sites]
    assert (layers[0], layers[-1]) == (sites[0], sites[-1])


def itself(x: Tensor) -> Tensor:
    return x


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 7, 5)),
        (nn.Conv2d(4, 8, (3, 1), padding=(2, 0), dilation=2, groups=4, bias=False), (2, 4, 6, 6)),
        (nn.Conv1d(3, 5, 3, padding=1), (2, 3, 9)),
        (nn.Linear(6, 4), (3, 6)),
        (nn.Linear(6, 4, bias=False), (2, 5, 6)),
    ],
)
def test_without_rounding_the_gradients_are_those_of_torch(module: Any, shape: tuple[int, ...]) -> None:
    products = LayerProducts(Rounders(itself, itself, itself, itself), lambda: (False, False), EMULATED)
    x = torch.randn(shape, requires_grad=True)
    parameters = [x, module.weight, *([] if module.bias is None else [module.bias])]
    expected = module(x)
    if isinstance(module, nn.Linear):
        found = products.linear(x, module.weight, module.bias)
    else:
        found = products.convolve(
            x, module.weight, module.bias, module.stride, module.padding, module.dilation, module.groups
        )
    assert torch.equal(found, expected)
    error = torch.randn_like(expected)
    for ours, torchs in zip(
        torch.autograd.grad(found, parameters, error), torch.autograd.grad(expected, parameters, error), strict=True
    ):
        torch.testing.assert_close(ours, torchs)


# Torch's own types.


@pytest.mark.parametrize(
    ("x", "weight", "bias", "geometry"),
    [
        ((3, 5, 9, 7), (6, 5, 3, 3), True, Geometry((2, 1), (1, 0), (1, 2), 1)),
        ((2, 16, 4, 4), (32, 16, 1, 1), False, Geometry((2, 2), (0, 0), (1, 1), 1)),
        ((7, 20), (10, 20), True, None),
        ((2, 5, 20), (10, 20), False, None),
    ],
)
def test_products_in_torch_s_types_are_the_emulated_ones(
    x: tuple[int, ...], weight: tuple[int, ...], bias: bool, geometry: Geometry | None
) -> None:
    torch.manual_seed(0)
    activations, weights = (round_to_format(torch.randn(shape), E4M3) for shape in (x, weight))
    offset = torch.randn(weight[0]) if bias else None
    scaled = ScaledProducts(E4M3, E5M2)
    expected = EMULATED.multiply(activations, weights, offset, geometry)
    torch.testing.assert_close(scaled.multiply(activations, weights, offset, geometry), expected)
    error = round_to_format(torch.randn_like(expected), E5M2)
    operands = (error, activations, weights, geometry)
    for found, exact in zip(
        scaled.gradients(*operands, (True, True)), EMULATED.gradients(*operands, (True, True)), strict=True
    ):
        torch.testing.assert_close(found, exact, atol=1e-4, rtol=1e-5)
    assert scaled.gradients(*operands, (False, False)) == (None, None)


def test_devices_without_such_products_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    require_scaled_mm(torch.device("cpu"))
    with pytest.raises(TrainingError, match="device 'mps' has none: choose products: emulated"):
        require_scaled_mm(torch.device("mps"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    with pytest.raises(TrainingError, match=r"compute capability 8.9, this GPU has 8.0"):
        require_scaled_mm(torch.device("cuda"))
    depthwise = create("mobilenetv2_cifar", input_channels=1, classes=10, width=8)
    with pytest.raises(TrainingError, match="scaled_mm has no groups"):
        arithmetic(depthwise, format="hybrid", products="scaled_mm")


def test_layers_are_themselves_again_afterwards() -> None:
    network = create("resnet8", input_channels=1, classes=10, width=4).eval()
    inputs = torch.rand(2, 1, 8, 8)
    before = network(inputs)
    numbers = arithmetic(network)
    with numbers.products(is_counted=False):
        assert not torch.equal(network(inputs), before)
    assert torch.equal(network(inputs), before)
    assert all("forward" not in vars(module) for module in network.modules())


# The loss's scale.


def scaler(**settings: Any) -> LossScaler:
    return LossScaler(Float8.model_validate({"loss_scaling": settings}).loss_scaling)


@pytest.mark.parametrize(("kind", "scale"), [("none", 1.0), ("constant", 128.0)])
def test_a_scale_that_does_not_move(kind: str, scale: float) -> None:
    scaling = scaler(kind=kind, scale=128.0, interval=1)
    for overflowed in (False, True, False):
        scaling.update(overflowed=overflowed, done=0.9)
    assert (scaling.scale, scaling.skipped) == (scale, 1)


def test_a_dynamic_scale_backs_off_and_grows() -> None:
    scaling = scaler(kind="dynamic", scale=64.0, interval=2, largest=128.0, minimum=[])
    scales = []
    for overflowed in (True, False, False, False, True, False, False, False, False, False, False):
        scaling.update(overflowed=overflowed, done=0.0)
        scales.append(scaling.scale)
    assert scales == [32, 32, 64, 64, 32, 32, 64, 64, 128, 128, 128]


def test_an_enhanced_scale_never_falls_below_its_rising_minimum() -> None:
    scaling = scaler(kind="enhanced", scale=16.0, minimum=[(0.2, 8.0), (0.6, 64.0)])
    scales = []
    for done in (0.0, 0.1, 0.15, 0.2, 0.3, 0.5, 0.6, 0.7):
        scaling.update(overflowed=True, done=done)
        scales.append(scaling.scale)
    assert scales == [8, 4, 2, 8, 8, 8, 64, 64]
    assert scaling.skipped == len(scales)


def test_a_step_that_overflows_changes_nothing() -> None:
    network = create("resnet8", input_channels=1, classes=10, width=4)
    numbers = arithmetic(network, loss_scaling={"kind": "dynamic", "scale": 2.0**24})
    plan = recipe()
    optimizer = build_optimizer(network, plan, plan.stages[0])
    optimizer.set_learning_rates(plan.stages[0], 0.0)
    before = {name: value.clone() for name, value in network.named_parameters()}
    backward_pass(network, numbers, 1e3 * torch.rand(4, 1, 8, 8))
    numbers.step(optimizer, done=0.0)
    assert numbers.loss_scale == 2.0**23
    assert numbers.measured()["skipped_steps"] == 1
    assert all(torch.equal(value, before[name]) for name, value in network.named_parameters())


def test_the_scale_leaves_the_gradients_again() -> None:
    torch.manual_seed(0)
    network = create("resnet8", input_channels=1, classes=10, width=4)
    inputs, gradients = torch.rand(8, 1, 8, 8), []
    for scale in (1.0, 2.0**10):
        network.zero_grad()
        exact = {"weights": "nearest", "errors": "nearest", "gradients": "nearest"}
        settings = {"kind": "constant", "scale": scale}
        numbers = arithmetic(network, loss_scaling=settings, rounding=exact, master="float32")
        backward_pass(network, numbers, inputs)
        plan = recipe()
        optimizer = build_optimizer(network, plan, plan.stages[0])  # its rate is 0
        numbers.step(optimizer, done=0.0)
        gradients.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
    assert float(F.cosine_similarity(*gradients, dim=0)) > 0.9
    assert 0.8 < float(gradients[0].norm() / gradients[1].norm()) < 1.25


def test_small_errors_are_lost_unless_the_loss_is_scaled() -> None:
    torch.manual_seed(0)
    network = create("resnet8", input_channels=1, classes=10, width=8)
    inputs, lost = torch.rand(64, 1, 16, 16), []
    for kind in ("none", "constant"):
        numbers = arithmetic(network, loss_scaling={"kind": kind, "scale": 8192.0}, rounding={"errors": "nearest"})
        backward_pass(network, numbers, inputs)
        shares = numbers.measured()["lost_errors"]
        assert list(shares) == [name for name, _ in list(layers(network))[1:-1]]
        lost.append(sum(shares.values()) / len(shares))
    assert lost[0] > 0.1
    assert lost[1] < 0.01


def layers(network: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]


# Master weights.


@pytest.mark.parametrize(("how", "moves"), [("stochastic", True), ("nearest", False)])
def test_small_updates_are_lost_unless_master_weights_are_rounded_at_random(how: str, moves: bool) -> None:
    network = nn.Sequential(nn.Linear(64, 64, bias=False))
    with torch.no_grad():
        network[0].weight.fill_(1.0)
    plan = recipe()
    stage = plan.stages[0].model_copy(update={"optimizer": "sgd", "weight_decay": 0.0})
    optimizer = build_optimizer(network, plan, stage)
    for group in optimizer.weights.param_groups:
        group.update(lr=1e-4, momentum=0.0, nesterov=False)
    numbers = arithmetic(network, rounding={"master": how}, loss_scaling={"kind": "none"})
    for _ in range(100):  # each moves a weight by a fifth of half a step below 1
        network[0].weight.grad = torch.ones(64, 64)
        numbers.step(optimizer, done=0.0)
    weight = network[0].weight.detach()
    assert torch.equal(weight, weight.half().float())
    assert float(weight.mean()) == pytest.approx(0.99 if moves else 1.0, abs=1e-4)


# Whole trainings.


def weights_of(folder: Path) -> str:
    return hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()


class InterruptionError(Exception):
    pass


def stopping_after(epoch: int | None) -> Any:
    def progress(row: dict[str, Any]) -> None:
        if row["epoch"] == epoch:
            raise InterruptionError

    return progress


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("float8")
    loop.train(recipe(), "", folder)
    return folder


@pytest.mark.parametrize("epoch", [1, 3, 5])
def test_an_interrupted_training_goes_on_to_the_same_bits(trained: Path, tmp_path: Path, epoch: int) -> None:
    with pytest.raises(InterruptionError):
        loop.train(recipe(), "", tmp_path, progress=stopping_after(epoch))
    loop.train(recipe(), "", tmp_path)
    assert weights_of(tmp_path) == weights_of(trained)


def test_the_history_tells_of_scale_and_losses(trained: Path) -> None:
    for file in (loop.FLOAT_STATE, loop.STATE):
        row = read_history(trained / file)[-1]
        assert row["loss_scale"] >= 8192.0
        assert row["skipped_steps"] >= 0
        assert all(0.0 <= share < 0.5 for share in row["lost_errors"].values())
        assert len(row["lost_errors"]) == 8  # of ten layers
        assert row["half_squared_norm"] > 0.0


def test_master_weights_have_sixteen_bits(trained: Path) -> None:
    network = torch.load(trained / loop.FLOAT_STATE, weights_only=True)["network"]
    for name, value in network.items():
        if value.dim() > 1:
            assert torch.equal(value, round_to_format(value, FLOAT16)), name


def test_real_numbers_train_to_other_weights(trained: Path, tmp_path: Path) -> None:
    loop.train(recipe(float8=None), "", tmp_path)
    assert weights_of(tmp_path) != weights_of(trained)


@pytest.mark.parametrize("settings", [{"format": "hybrid"}, {"loss_scaling": {"kind": "none"}}, {"exempt": []}])
def test_every_setting_is_another_training(trained: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    loop.train(recipe(float8=settings), "", tmp_path)
    assert weights_of(tmp_path) != weights_of(trained)


def test_bfloat16_products_and_eight_bits_go_together(tmp_path: Path) -> None:
    loop.train(recipe(precision="bfloat16"), "", tmp_path)
    assert read_history(tmp_path / loop.STATE)[-1]["loss"] < 10.0


def test_torch_s_types_train_as_the_emulated_ones_do(tmp_path: Path) -> None:
    losses = []
    for products in ("emulated", "scaled_mm"):
        loop.train(recipe(float8={"format": "hybrid", "products": products}), "", tmp_path / products)
        losses.append([row["loss"] for row in read_history(tmp_path / products / loop.FLOAT_STATE)])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_bits_are_searched_in_eight_bit_floats(tmp_path: Path) -> None:
    stages = [
        {"name": "float", "epochs": 1, "learning_rate": 4e-3},
        {"name": "planes", "epochs": 2, "learning_rate": 1e-2},
        {"name": "weights", "epochs": 1, "learning_rate": 2e-3, "passes": ["highest"]},
    ]
    plan = recipe(
        stages=stages, bits=[8], quantizer="symmetric", norm="shared", bit_sparsity={"strength": 0.1, "interval": 1}
    )
    checkpoint = loop.train(plan, "", tmp_path)
    assert checkpoint is not None
    assert checkpoint.metrics is not None
    assert checkpoint.metrics["scheme"]["bits_per_weight"] > 0.0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("float8: {format: e5m3}", r"tiny.yaml:8:18: float8.format: .*did you mean 'e5m2'"),
        ("float8: {rounding: {errors: nearst}}", r"tiny.yaml:8:29: .*did you mean 'nearest'"),
        ("float8: {loss_scaling: {kind: enhancd}}", r"did you mean 'enhanced'"),
        ("float8: {loss_scaling: {minimum: [[0.5, 8], [0.2, 16]]}}", r"a share and a scale, in which both rise"),
        ("float8: {loss_scaling: {largest: 16}}", r"largest: is below 32768, which the scale reaches"),
        ("float8: {products: scaled_mm}", r"no GPU multiplies E5M2 with E5M2: choose format: hybrid"),
        ("float8: {exemt: [first]}", r"unknown key 'exemt': did you mean 'exempt'"),
    ],
)
def test_wrong_settings_are_explained(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(
        "schema_version: 1\nname: tiny\narchitecture: resnet8\nwidth: 2\ndata: digits\nbits: [2, 8]\nseed: 3\n"
        f"{line}\nbatch_size: 32\nstages:\n  - {{name: weights, epochs: 1, learning_rate: 1.0e-3}}\n",
        encoding="utf-8",
    )
    with pytest.raises(DocumentError, match=message):
        load_recipe(file)
