"""The factor on the loss that keeps errors within the range of eight-bit floats."""

from __future__ import annotations

from bitmixer.training.float8_settings import LossScaling


class LossScaler:
    """Follows the overflows of a training.

    Args:
        settings: The kind of scaling, and its numbers.

    Attributes:
        scale: The factor of the next step.
        skipped: Steps that changed nothing, as their gradients were not all finite.
    """

    def __init__(self, settings: LossScaling) -> None:
        self._settings = settings
        self.scale = 1.0 if settings.kind == "none" else max(settings.scale, settings.least(0.0))
        self.skipped = 0
        self._in_a_row = 0

    def update(self, *, overflowed: bool, done: float) -> None:
        """Take notice of a step.

        Args:
            overflowed: Whether a gradient was infinite or no number.
            done: Share of all steps that has passed.
        """
        self.skipped += overflowed
        if self._settings.kind in ("none", "constant"):
            return
        self._in_a_row = 0 if overflowed else self._in_a_row + 1
        if overflowed:
            self.scale *= self._settings.backoff
        elif self._in_a_row == self._settings.interval:
            self.scale = min(self.scale * self._settings.growth, self._settings.largest)
            self._in_a_row = 0
        self.scale = max(self.scale, self._settings.least(done))

    def state_dict(self) -> dict[str, float]:
        """Return where it stands."""
        return {"scale": self.scale, "skipped": self.skipped, "in_a_row": self._in_a_row}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take up a state that :meth:`state_dict` returned."""
        self.scale, self.skipped, self._in_a_row = state["scale"], int(state["skipped"]), int(state["in_a_row"])
