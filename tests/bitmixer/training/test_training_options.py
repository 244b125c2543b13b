"""What a training can do besides the plain three stages: teachers, precision, recalibration, several processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from bitmixer import convert, load_network
from bitmixer.bitwidths import BitAssignment, BitWidths
from bitmixer.errors import TrainingError
from bitmixer.layers import TransitionalNorm
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import create
from bitmixer.training import loop
from bitmixer.training.augmentation import augment
from bitmixer.training.distillation import Lesson
from bitmixer.training.optimizer import build_optimizer, schedule
from bitmixer.training.recalibration import recalibrate_norms
from bitmixer.training.recipe import Augmentation, Distillation, Recipe

CONTENT: dict[str, Any] = {
    "schema_version": 1, "name": "tiny", "architecture": "resnet8", "width": 2, "data": "digits", "bits": [2, 8],
    "seed": 3, "batch_size": 32,
    "stages": [
        {"name": "float", "epochs": 1, "learning_rate": 4e-3},
        {"name": "weights", "epochs": 1, "learning_rate": 2e-3},
        {"name": "transitions", "epochs": 1, "learning_rate": 2e-3},
    ],
}  # fmt: skip


def recipe(**changes: Any) -> Recipe:
    return Recipe.model_validate(CONTENT | changes)


def tiny(**options: Any) -> MetaQuantizedNetwork:
    torch.manual_seed(0)
    return convert(create("resnet8", input_channels=1, classes=10, width=2), [2, 8], signed_input=False, **options)


# The float stage.


def test_the_twin_starts_from_the_float_network(tmp_path: Path) -> None:
    still = [dict(CONTENT["stages"][0]), {"name": "weights", "epochs": 1, "learning_rate": 1e-30}]
    loop.train(recipe(stages=still, weight_decay=0.0), "", tmp_path)
    trained = torch.load(tmp_path / loop.FLOAT_STATE, weights_only=True)["network"]
    weights = load_network(tmp_path).state_dict()
    assert torch.allclose(weights["body.stem.weight"], trained["stem.weight"], atol=1e-6)


def test_trainings_that_differ_later_share_the_float_stage(tmp_path: Path) -> None:
    loop.train(recipe(), "", tmp_path / "first")
    (tmp_path / "second").mkdir()
    shutil.copy(tmp_path / "first" / loop.FLOAT_STATE, tmp_path / "second" / loop.FLOAT_STATE)
    rows: list[dict[str, Any]] = []
    loop.train(recipe(bits=[4], norm="shared"), "", tmp_path / "second", progress=rows.append)
    assert [row["epoch"] for row in rows] == [1, 2, 3]  # the first is the kept one, taken up again
    untouched = torch.load(tmp_path / "second" / loop.FLOAT_STATE, weights_only=True)["history"]
    assert untouched == torch.load(tmp_path / "first" / loop.FLOAT_STATE, weights_only=True)["history"]


# Teachers.

LOGITS = [torch.randn(6, 4, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


def losses(settings: Distillation, teacher: Any = None) -> list[float]:
    lesson = Lesson(settings, torch.zeros(6, 1), LABELS, teacher)
    return [float(lesson.loss(logits)) for logits in LOGITS]


def taught(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> float:
    """Hinton's loss written out: cross-entropy + T^2 sum p log(p / q)."""
    p, q = ((logits / temperature).softmax(dim=1) for logits in (teacher, student))
    divergence = (p * (p.log() - q.log())).sum(dim=1).mean()
    return float(F.cross_entropy(student, LABELS) + temperature**2 * divergence)


def test_every_teacher_teaches_whom_it_should() -> None:
    plain = [float(F.cross_entropy(logits, LABELS)) for logits in LOGITS]
    assert losses(Distillation(teacher="none")) == pytest.approx(plain)
    highest = [plain[0], taught(LOGITS[1], LOGITS[0], 2.0), taught(LOGITS[2], LOGITS[0], 2.0)]
    assert losses(Distillation(teacher="highest", temperature=2.0)) == pytest.approx(highest)
    chain = [plain[0], taught(LOGITS[1], LOGITS[0], 1.0), taught(LOGITS[2], LOGITS[1], 1.0)]
    assert losses(Distillation(teacher="recursive")) == pytest.approx(chain)
    other = torch.randn(6, 4)
    by_float = [taught(logits, other, 1.0) for logits in LOGITS]
    assert losses(Distillation(teacher="float"), lambda inputs: other) == pytest.approx(by_float)


def test_a_teacher_gets_no_gradient() -> None:
    teacher, student = LOGITS[0].clone().requires_grad_(), LOGITS[1].clone().requires_grad_()
    lesson = Lesson(Distillation(), torch.zeros(6, 1), LABELS, None)
    lesson.loss(teacher)
    lesson.loss(student).backward()  # type: ignore[no-untyped-call]
    assert teacher.grad is None
    assert student.grad is not None


def test_the_float_network_teaches_and_stays_as_it_is(tmp_path: Path) -> None:
    for name in ("float", "none"):
        loop.train(recipe(distillation={"teacher": name}), "", tmp_path / name)
    floats = [
        torch.load(tmp_path / name / loop.FLOAT_STATE, weights_only=True)["network"] for name in ("float", "none")
    ]
    assert all(torch.equal(floats[0][key], floats[1][key]) for key in floats[0])
    taught_weights, plain = (load_network(tmp_path / name).state_dict() for name in ("float", "none"))
    assert any(not torch.equal(taught_weights[key], plain[key]) for key in plain)


# Options of the loop.


def test_bfloat16_trains_to_almost_the_same(tmp_path: Path) -> None:
    longer = [stage | {"epochs": 4, "learning_rate": 1e-2} for stage in CONTENT["stages"]]
    found = {}
    for precision in ("float32", "bfloat16"):
        rows: list[dict[str, Any]] = []
        loop.train(recipe(stages=longer, precision=precision, width=4), "", tmp_path / precision, progress=rows.append)
        found[precision] = rows[-1]["loss"]
    assert found["float32"] != found["bfloat16"]
    assert found["bfloat16"] == pytest.approx(found["float32"], rel=0.15)


def test_steps_learn_at_their_own_rate() -> None:
    network = tiny()
    training = recipe(step_learning_rates={"2": 0.1})
    (stage, *_) = training.quantized_stages
    optimizer = build_optimizer(network, training, stage)
    assert optimizer.set_learning_rates(stage.model_copy(update={"learning_rate": 1.0}), 0.0) == 1.0
    groups = [*optimizer.weights.param_groups, *optimizer.steps.param_groups]
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert set(rates) == {id(p) for p in network.parameters()}
    slow = {name for name, p in network.named_parameters() if rates[id(p)] == pytest.approx(0.1)}
    assert slow
    assert all(name.endswith("activation_quantizer.log_steps.2") for name in slow)
    decayed = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {id(p) for name, p in network.named_parameters() if p.dim() > 1}


SGD = {"optimizer": "sgd", "weight_decay": 5e-4, "learning_rate": 0.05}
SGD_STAGES = [
    {"name": "float", "epochs": 1, "warm_up": 0.5, **SGD},
    {"name": "weights", "epochs": 1, "step_learning_rate": 1e-3, **SGD},
    {"name": "transitions", "epochs": 2, "step_learning_rate": 1e-3, **SGD},
]


def test_gradient_descent_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    own = recipe(stages=SGD_STAGES)
    loop.train(own, "", tmp_path / "whole")

    def stop(row: dict[str, Any]) -> None:
        if row["epoch"] in (1, 3):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            loop.train(own, "", tmp_path / "parts", progress=stop)
    loop.train(own, "", tmp_path / "parts", progress=lambda row: None)
    whole, parts = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_gradient_descent_is_nesterovs_with_an_l2_penalty() -> None:
    """Sutskever et al., ICML 2013, in the form of gradients at the point itself: v = m v + g, w -= r (g + m v)."""
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    training = recipe(stages=SGD_STAGES)
    optimizer = build_optimizer(network, training, training.stages[0])
    weight, velocity = network.weight.detach().clone(), torch.zeros(2, 3)
    for _ in range(3):
        optimizer.set_learning_rates(training.stages[0], 0.5)
        optimizer.zero_grad()
        network(torch.ones(1, 3)).sum().backward()
        gradient = torch.ones(2, 3) + 5e-4 * weight
        velocity = 0.9 * velocity + gradient
        weight -= 0.05 * (gradient + 0.9 * velocity)
        optimizer.step()
    assert torch.allclose(network.weight, weight, atol=1e-6)


def test_rates_rise_in_a_line_and_fall_as_a_cosine() -> None:
    assert schedule(0.05, warm_up=0.1) == pytest.approx(0.5)
    assert schedule(0.1, warm_up=0.1) == pytest.approx(1.0)
    assert schedule(0.55, warm_up=0.1) == pytest.approx(0.5)
    assert schedule(1.0, warm_up=0.1) == pytest.approx(0.0)
    assert schedule(0.0, warm_up=0.0) == 1.0


def test_steps_have_a_rate_of_their_own() -> None:
    network = tiny()
    training = recipe(stages=SGD_STAGES)
    (stage, _) = training.quantized_stages
    optimizer = build_optimizer(network, training, stage)
    optimizer.set_learning_rates(stage, 0.0)
    assert {group["lr"] for group in optimizer.weights.param_groups} == {0.05}
    assert {group["lr"] for group in optimizer.steps.param_groups} == {1e-3}
    steps = {id(p) for group in optimizer.steps.param_groups for p in group["params"]}
    assert steps == {id(p) for name, p in network.named_parameters() if "quantizer" in name}


def test_gradient_descent_asks_for_the_rate_of_steps() -> None:
    without = [{key: value for key, value in stage.items() if key != "step_learning_rate"} for stage in SGD_STAGES]
    with pytest.raises(ValidationError, match="add a step_learning_rate"):
        recipe(stages=without)
    with pytest.raises(ValidationError, match="the float stage has no steps: leave it out"):
        recipe(stages=[CONTENT["stages"][0] | {"step_learning_rate": 1.0}, *CONTENT["stages"][1:]])


def test_mirroring_flips_about_half_of_the_images() -> None:
    images = torch.arange(8.0).reshape(1, 1, 1, 8).expand(400, 2, 3, 8)
    flipped = augment(images, Augmentation(mirror=True), np.random.default_rng(0))
    is_flipped = flipped[:, 0, 0, 0] == 7.0
    assert 150 < int(is_flipped.sum()) < 250
    assert torch.equal(flipped[is_flipped], images[is_flipped].flip(3))
    assert torch.equal(flipped[~is_flipped], images[~is_flipped])


@pytest.mark.parametrize(("norm", "sets"), [("transition", 4), ("producer", 2), ("shared", 1)])
def test_a_norm_is_chosen_by_what_the_network_was_told(norm: Any, sets: int) -> None:
    network = tiny(norm=norm)
    inner = [module for module in network.modules() if isinstance(module, TransitionalNorm)]
    assert max(len(module.norms) for module in inner) == sets
    network.assign(BitAssignment.random(network.sites, np.random.default_rng(0)))
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 10)


def test_untied_widths_choose_norms_by_weights_before_and_activations_behind() -> None:
    network = tiny(tied=False)
    assignment = dict(network.uniform(8)) | {"stages.0.0.conv1": BitWidths(2, 8), "stages.0.0.conv2": BitWidths(8, 2)}
    network.assign(BitAssignment(assignment))
    norms = {name: module.current for name, module in network.named_modules() if isinstance(module, TransitionalNorm)}
    assert norms["body.stages.0.0.norm1"] == "2_2"
    assert norms["body.stages.0.0.norm2"].startswith("8_")
    assert norms["body.stem_norm"] == "8_8"


# Recalibration.


def test_recalibrated_statistics_are_those_of_the_batches() -> None:
    network = convert(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)), [8])
    batches = [torch.randn(64, 3) * 2.0 + 1.0 for _ in range(5)]
    recalibrate_norms(network, batches, np.random.default_rng(0))
    (norm,) = (m for m in network.modules() if isinstance(m, nn.BatchNorm1d))
    results = [network.body.get_submodule("0")(batch) for batch in batches]
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert torch.allclose(norm.running_mean, torch.stack([r.mean(dim=0) for r in results]).mean(dim=0), atol=1e-5)
    assert torch.allclose(norm.running_var, torch.stack([r.var(dim=0) for r in results]).mean(dim=0), atol=1e-5)
    assert norm.momentum == 0.1
    assert not network.training


def test_a_transition_that_no_batch_took_keeps_its_statistics() -> None:
    network = tiny()
    (norm,) = (
        m for n, m in network.named_modules() if n == "body.stages.0.0.norm1" and isinstance(m, TransitionalNorm)
    )
    before = {name: buffer + 1 for name, buffer in norm.norms["2_8"].named_buffers()}
    norm.norms["2_8"].load_state_dict(before, strict=False)
    recalibrate_norms(network, [torch.rand(8, 1, 8, 8)], np.random.default_rng(0))  # one batch, uniform
    for name, buffer in norm.norms["2_8"].named_buffers():
        assert torch.equal(buffer, before[name])


def test_recalibration_is_part_of_a_recipe(tmp_path: Path) -> None:
    for count in (0, 8):
        loop.train(recipe(recalibration_batches=count), "", tmp_path / str(count))
    plain, measured = (load_network(tmp_path / str(count)).state_dict() for count in (0, 8))
    changed = {name for name in plain if not torch.equal(plain[name], measured[name])}
    assert changed
    assert all(name.rsplit(".", 1)[1] in ("running_mean", "running_var", "num_batches_tracked") for name in changed)


# Several processes.


ROOT = Path(loop.__file__).parents[2]
TOGETHER = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
GRADIENTS = """
import torch
from torch import nn
from bitmixer.training.ranks import joined

torch.manual_seed(0)
network, batch, alone = nn.Linear(3, 2), torch.rand(8, 3), nn.Linear(3, 2)
alone.load_state_dict(network.state_dict())
alone(batch).square().mean().backward()
with joined("cpu") as ranks:
    network(ranks.share(batch)).square().mean().backward()
    ranks.average_gradients(network)
assert torch.allclose(network.weight.grad, alone.weight.grad)
assert ranks.count == 2
"""


def run_together(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [*TOGETHER, *arguments]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result


def test_shares_of_a_batch_give_the_gradient_of_the_whole(tmp_path: Path) -> None:
    (tmp_path / "gradients.py").write_text(GRADIENTS, encoding="utf-8")
    run_together(["gradients.py"], tmp_path)


def test_two_processes_train_one_network(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(json.dumps(CONTENT | {"batch_size": 256}), encoding="utf-8")
    result = run_together(["-m", "bitmixer", "train", "tiny.yaml", "--out", "out"], tmp_path)
    assert result.stdout.count("Checkpoint in") == 1
    assert [line[:9] for line in result.stderr.splitlines() if line.startswith("epoch")] == [
        "epoch 1/3", "epoch 2/3", "epoch 3/3",
    ]  # fmt: skip
    assert load_network(tmp_path / "out").bits == (2, 8)


def test_tensorboard_logs_every_epoch(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra 'track' is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from bitmixer.training.tensorboard import log_to

    write = log_to(tmp_path)
    for epoch in (1, 2):
        write({"epoch": epoch, "stage": "weights", "loss": 2.0 / epoch, "seconds": 1.0})
    events = EventAccumulator(str(tmp_path)).Reload()  # type: ignore[no-untyped-call]
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 2.0), (2, 1.0)]


def test_a_device_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"device 'tpu': .*; here are: cpu"):
        loop.train(recipe(), "", tmp_path, device="tpu")
