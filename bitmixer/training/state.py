"""The state of a training between two epochs, so that it resumes to the bit."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bitmixer.errors import CheckpointError
from bitmixer.training.arithmetic import Arithmetic
from bitmixer.training.optimizer import Optimizer

DAMAGE = (RuntimeError, OSError, EOFError, pickle.UnpicklingError, KeyError, TypeError, ValueError)
"""What reading a file raises that is not a whole training state."""


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """Where a training stands.

    Attributes:
        identity: Hash of all that decides its course.
        epoch: Epochs done, over all stages.
        generator: Source of all randomness.
        history: One row per epoch.
        optimizer: State of the optimiser, as it was read.
        arithmetic: State of the arithmetic, as it was read.
    """

    identity: str
    generator: np.random.Generator
    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    optimizer: dict[str, Any] = field(default_factory=dict)
    arithmetic: dict[str, float] = field(default_factory=dict)

    def save(self, file: Path, network: nn.Module, optimizer: Optimizer, arithmetic: Arithmetic) -> None:
        """Write the state; an interrupted write leaves the previous one whole."""
        content = {
            "identity": self.identity,
            "epoch": self.epoch,
            "generator": json.dumps(self.generator.bit_generator.state),
            "history": json.dumps(self.history),
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
            "arithmetic": arithmetic.state_dict(),
        }
        temporary = file.with_suffix(".part")
        torch.save(content, temporary)
        temporary.replace(file)

    def restore(self, file: Path, network: nn.Module) -> bool:
        """Read the state into this object and the network; ``False`` where there is none.

        Raises:
            CheckpointError: The state is damaged or belongs to another training.
        """
        if not file.is_file():
            return False
        try:
            content = torch.load(file, weights_only=True, map_location="cpu")
            if content["identity"] != self.identity:
                raise CheckpointError(f"{file}: belongs to another training; choose another --out or delete it")
            network.load_state_dict(content["network"])
            self.optimizer = content["optimizer"]
            self.arithmetic = content.get("arithmetic", {})  # states of real arithmetic were written without
            self.epoch = content["epoch"]
            self.generator.bit_generator.state = json.loads(content["generator"])
            self.history = json.loads(content["history"])
        except DAMAGE as error:
            raise _damaged(file, error) from None
        return True

    def restore_optimizer(self, file: Path, optimizer: Optimizer) -> None:
        """Give an optimiser the state that was read from ``file``.

        Raises:
            CheckpointError: The state is damaged.
        """
        try:
            optimizer.load_state_dict(self.optimizer)
        except DAMAGE as error:
            raise _damaged(file, error) from None


def read_history(file: Path) -> list[dict[str, Any]]:
    """Return the history that a training's state keeps, a row per epoch.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    try:
        history: list[dict[str, Any]] = json.loads(torch.load(file, weights_only=True, map_location="cpu")["history"])
    except DAMAGE as error:
        raise _damaged(file, error) from None
    return history


def _damaged(file: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{file}: damaged ({_first_line(error)}); delete it to start again")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
