"""The state of a training between two epochs, so that it resumes to the bit."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bitmixer.errors import CheckpointError
from bitmixer.network import MetaQuantizedNetwork

FILE = "training_state.pt"
DAMAGE = (RuntimeError, OSError, EOFError, pickle.UnpicklingError, KeyError, TypeError, ValueError)
"""What reading a file raises that is not a whole training state."""


@dataclass(slots=True, kw_only=True)
class TrainingState:
    """Where a training stands.

    Attributes:
        recipe_sha256: Hash of the recipe that it follows.
        epoch: Epochs done, over all stages.
        generator: Source of all randomness.
        history: One row per epoch.
    """

    recipe_sha256: str
    generator: np.random.Generator
    epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def save(self, folder: Path, network: MetaQuantizedNetwork, optimizer: torch.optim.Optimizer) -> None:
        """Write the state; an interrupted write leaves the previous one whole."""
        content = {
            "recipe_sha256": self.recipe_sha256,
            "epoch": self.epoch,
            "generator": json.dumps(self.generator.bit_generator.state),
            "history": json.dumps(self.history),
            "network": network.state_dict(),
            "optimizer": optimizer.state_dict(),
        }
        temporary = folder / f"{FILE}.part"
        torch.save(content, temporary)
        temporary.replace(folder / FILE)

    def restore(self, folder: Path, network: MetaQuantizedNetwork, optimizer: torch.optim.Optimizer) -> bool:
        """Read the state into this object, the network and the optimiser; ``False`` where there is none.

        Raises:
            CheckpointError: The state is damaged or belongs to another recipe.
        """
        file = folder / FILE
        if not file.is_file():
            return False
        try:
            content = torch.load(file, weights_only=True)
            if content["recipe_sha256"] != self.recipe_sha256:
                raise CheckpointError(f"{file}: belongs to another recipe; choose another --out or delete it")
            network.load_state_dict(content["network"])
            optimizer.load_state_dict(content["optimizer"])
            self.epoch = content["epoch"]
            self.generator.bit_generator.state = json.loads(content["generator"])
            self.history = json.loads(content["history"])
        except DAMAGE as error:
            raise CheckpointError(f"{file}: damaged ({_first_line(error)}); delete it to start again") from None
        return True


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
