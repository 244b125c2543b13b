"""TensorBoard logs of a training; needs the extra ``track``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bitmixer.errors import TrainingError
from bitmixer.training.phase import Progress


def log_to(folder: Path) -> Progress:
    """Return a function that writes a row of a training's history as scalars, by epoch.

    Raises:
        TrainingError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TrainingError(
            "TensorBoard is not installed: pip install 'bitmixer-hwsim[track]', or leave --tensorboard out"
        ) from None
    writer = SummaryWriter(folder)

    def write(row: dict[str, Any]) -> None:
        for name, value in row.items():
            if isinstance(value, float):
                writer.add_scalar(name, value, row["epoch"])
        writer.flush()

    return write
