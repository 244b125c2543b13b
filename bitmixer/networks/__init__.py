"""Networks by name, and the checkpoints that ship with the package."""

from __future__ import annotations

from bitmixer.networks.checkpoint import Checkpoint, find_checkpoint, load_network, shipped_checkpoints
from bitmixer.networks.registry import ARCHITECTURES, create

__all__ = ["ARCHITECTURES", "Checkpoint", "create", "find_checkpoint", "load_network", "shipped_checkpoints"]
