"""Shared by the tests of bitmixer: one thread, so that they disturb nobody and repeat to the bit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import load_network


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits_network() -> MetaQuantizedNetwork:
    """The shipped network; tests set its assignment, never its weights."""
    return load_network("resnet8_digits")
