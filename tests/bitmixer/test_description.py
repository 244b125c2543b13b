"""A description builds what the vocabulary has, and nothing else: a file of somebody else's runs no code of theirs."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bitmixer import convert
from bitmixer.description import build
from bitmixer.errors import CheckpointError

Description = dict[str, Any]


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 4, 3, padding="same"), nn.Linear(4, 3)
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        x = (self.stem(x) * self.gain)[:, :, 1:, ...].relu().mean((2, 3))
        return self.head(x.view(x.size(0), x.shape[1]))


@pytest.fixture
def description() -> Description:
    return copy.deepcopy(convert(Small(), (2, 8)).form.module)


def test_slices_sizes_and_constants_are_built_again(description: Description) -> None:
    torch.manual_seed(0)
    original = Small().eval()
    built = build(description)
    built.load_state_dict(original.state_dict())
    x = torch.rand(2, 1, 6, 6)
    assert torch.equal(built(x), original(x))


def node(description: Description, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in description["nodes"] if each["name"] == name)
    return found


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: node(d, "mul").update(target="os.system"), "operation 'os.system' is none that is understood"),
        (lambda d: node(d, "mul").update(target="torch.load"), "operation 'torch.load' is none that is understood"),
        (lambda d: node(d, "relu").update(target="__reduce__"), "operation '__reduce__' is none that is understood"),
        (lambda d: node(d, "relu").update(target="relu(); x"), "is none that is understood"),
        (lambda d: node(d, "getattr_1")["args"]["tuple"].__setitem__(1, "__class__"), "only its shape is read"),
        (lambda d: node(d, "x").update(target="x=print('!')"), "is no name"),
        (lambda d: node(d, "stem").update(name="stem; print('!')"), "is no name"),
        (lambda d: node(d, "mul").update(kwargs={"a=print()": 1}), "is no name"),
        (lambda d: node(d, "mean").update(kwargs={"a=print()": 1}), "is no name"),
        (lambda d: node(d, "mean").update(op="exec"), "unknown kind 'exec'"),
        (lambda d: d["layers"]["stem"].update(kind="Conv2D"), "did you mean 'Conv2d'"),
        (lambda d: d["layers"]["stem"]["options"].update(kernel=3), "unexpected keyword argument 'kernel'"),
        (lambda d: d["constants"]["gain"].update(type="load"), "a constant of type 'load': no type of numbers"),
        (lambda d: d.pop("layers"), "not the description of a network: KeyError: 'layers'"),
        (lambda d: node(d, "mean")["args"].update(tuple=[{"unknown": "<x>"}]), "cannot be kept in a file"),
    ],
)
def test_what_is_not_understood_is_refused(
    spoil: Callable[[Description], Any], message: str, description: Description
) -> None:
    spoil(description)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        build(description)
