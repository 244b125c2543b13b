"""Every assignment drawn evenly: what any other strategy must beat."""

from __future__ import annotations

from bitmixer.graphs.selection.base import Bits, Measurement, Strategy


class RandomDraws(Strategy):
    """Learns nothing."""

    def propose(self) -> Bits:
        """Return widths drawn evenly."""
        return tuple(self.problem.drawn(self.generator, 1)[0].tolist())

    def learn(self, measurement: Measurement) -> None:
        """Forget it."""
