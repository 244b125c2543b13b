"""Random small networks, with random joins, concatenations, gates and slices, obey the laws of the named ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from bitmixer import StepwiseRun, capture, convert
from bitmixer.bitwidths import BitAssignment
from bitmixer.description import build
from bitmixer.execution import run

CHANNELS = (2, 3, 4)
ACTIVATIONS = (torch.relu, F.silu, torch.tanh, F.hardsigmoid)


@dataclass(frozen=True)
class Step:
    """One operation on tensors made before, which it names counting from the latest."""

    kind: str
    operands: tuple[int, ...]
    choice: int


steps = st.builds(
    Step,
    kind=st.sampled_from(["convolution", "depthwise", "norm", "activation", "pool", "concatenate", "gate", "divide"])
    | st.sampled_from(["convolution", "add", "add", "concatenate"]),
    operands=st.tuples(*[st.integers(0, 3)] * 3),
    choice=st.integers(0, 3),
)


class Random(nn.Module):
    """Follows its steps over maps of one size; behind a stem nobody reads the input."""

    def __init__(self, plan: list[Step], *, stem: bool) -> None:
        super().__init__()
        self.plan, self.stem, self.layers = plan, stem, nn.ModuleDict()
        channels = [3]
        for number, step in enumerate(plan):
            first = channels[-1 - step.operands[0] % len(channels)]
            channels.append(self._add(f"step{number}", step, first, channels))
            if stem and number == 0:
                channels = channels[1:]
        self.layers["last"] = nn.Conv2d(channels[-1], 4, 1)
        self.layers["classifier"] = nn.Linear(4, 3)

    def _add(self, name: str, step: Step, inputs: int, channels: list[int]) -> int:
        outputs = CHANNELS[step.choice % len(CHANNELS)]
        if step.kind == "convolution":
            self.layers[name] = nn.Conv2d(inputs, outputs, 1 + 2 * (step.choice % 2), padding=step.choice % 2)
            return outputs
        if step.kind == "depthwise":
            self.layers[name] = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        elif step.kind == "norm":
            self.layers[name] = nn.BatchNorm2d(inputs)
        elif step.kind == "gate":
            self.layers[name] = nn.Conv2d(inputs, inputs, 1)
        elif step.kind == "add":
            other = channels[-1 - list(dict.fromkeys(o % len(channels) for o in step.operands))[-1]]
            if other != inputs:
                self.layers[name] = nn.Conv2d(other, inputs, 1)
        elif step.kind == "concatenate":
            whole = sum(channels[-1 - place] for place in dict.fromkeys(o % len(channels) for o in step.operands))
            self.layers[name] = nn.Conv2d(whole, outputs, 1)
            self.layers[f"{name}_norm"] = nn.BatchNorm2d(whole)
            return outputs
        elif step.kind == "divide":
            return inputs - inputs // 2
        return inputs

    def forward(self, x: Tensor) -> Tensor:
        made = [x]
        for number, step in enumerate(self.plan):
            places = dict.fromkeys(operand % len(made) for operand in step.operands)
            made.append(self._made(f"step{number}", step, [made[-1 - place] for place in places]))
            if self.stem and number == 0:
                made = made[1:]
        return self.layers["classifier"](F.relu(self.layers["last"](made[-1])).mean((2, 3)))

    def _made(self, name: str, step: Step, operands: list[Tensor]) -> Tensor:
        x, other = operands[0], operands[-1]
        made: dict[str, Callable[[], Tensor]] = {
            "activation": lambda: ACTIVATIONS[step.choice](x),
            "pool": lambda: (F.avg_pool2d if step.choice % 2 else F.max_pool2d)(x, 3, 1, 1),
            "add": lambda: x + (self.layers[name](other) if name in self.layers else other),
            "gate": lambda: x * torch.sigmoid(self.layers[name](F.adaptive_avg_pool2d(x, 1))),
            "divide": lambda: x.chunk(2, 1)[0],
            "concatenate": lambda: self.layers[name](F.relu(self.layers[f"{name}_norm"](torch.cat(operands, 1)))),
        }
        return made.get(step.kind, lambda: self.layers[name](x))()


plans = st.lists(steps, min_size=2, max_size=9)


def drawn_network(plan: list[Step], seed: int, *, stem: bool) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(seed)
    plan = [Step("convolution", (0, 0, 0), 1), *plan] if stem else plan
    model, x = Random(plan, stem=stem), torch.randn(5, 3, 4, 4)
    model(x)  # running statistics
    return model.eval(), x


def macs_by_hooks(model: nn.Module, x: Tensor) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(
                lambda layer, _, y, name=name: counts.update({name: y.numel() * layer.weight[0].numel()})
            )
    model(x)
    return counts


def _step(kind: str, *operands: int) -> Step:
    return Step(kind=kind, operands=(*operands, 0, 0, 0)[:3], choice=0)  # type: ignore[arg-type]


READ_BY_TWO_JOINS = [
    _step("convolution"), _step("add", 0, 0, 1), _step("add", 0, 0, 1), _step("convolution"), _step("norm", 1),
    _step("convolution", 3), _step("convolution"), _step("add", 0, 0, 2),
]  # fmt: skip
"""A shortcut that leads into two joins: who its key consumer is once hung on the order of its readers."""


@given(plan=plans, stem=st.booleans(), seed=st.integers(0, 100))
@example(plan=READ_BY_TWO_JOINS, stem=False, seed=0)
@settings(max_examples=25, deadline=None)
def test_any_network_obeys_the_laws(plan: list[Step], stem: bool, seed: int) -> None:
    model, x = drawn_network(plan, seed, stem=stem)
    twin = convert(model, [2, 8])
    assert torch.equal(twin(x), model(x))

    graph = capture(twin, x)
    counts = macs_by_hooks(model, x[:1])  # it also counts layers whose results nobody reads
    assert all(layer.macs == counts[layer.name] for layer in graph.layers)
    behind = [layer for layer in graph.layers if "input" not in layer.producers]
    streamed = sum(layer.input_elements - layer.residual_input_elements for layer in behind)
    written = sum(layer.stream_write_elements for layer in graph.layers)
    assert written == streamed + 3 or not stem  # what comes from the input alone, no layer wrote

    twin.calibrate_activations(x)
    twin.calibrate_weights()
    twin.quantize()
    assignment = BitAssignment.random(graph.layers, np.random.default_rng(seed))
    logits = run(twin, x, assignment)
    assert torch.equal(run(twin, x.to(memory_format=torch.channels_last), assignment, batch_size=2), logits)
    again = convert(build(json.loads(json.dumps(twin.form.module))), [2, 8]).eval()
    again.load_state_dict(twin.state_dict())
    again.quantize()
    assert torch.equal(run(again, x, assignment), logits)
    stepwise = StepwiseRun(twin, x)
    for position, layer in enumerate(graph.layers):
        for other, point in zip(graph.layers, graph.commit_points, strict=True):
            if point == position:
                stepwise.commit(other.name, assignment[other.name])
        stepwise.advance(layer.name)
    assert torch.equal(stepwise.finish(), logits)
