"""What a recipe says of training in eight-bit floats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from bitmixer.bitwidths import ENDS, End
from bitmixer.documents import Problem, Section

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]
RoundingName = Literal["nearest", "stochastic"]


class Rounding(Section):
    """How each class of tensors is rounded; by default as in Intel's FP8 Emulation Toolkit.

    Attributes:
        weights: The copy of the weights that products read.
        activations: What a layer reads.
        errors: Gradients of a layer's results, which both backward products read.
        gradients: Gradients of the weights.
        master: The weights that the optimiser changes.
    """

    weights: RoundingName = "nearest"
    activations: RoundingName = "nearest"
    errors: RoundingName = "stochastic"
    gradients: RoundingName = "stochastic"
    master: RoundingName = "stochastic"


class LossScaling(Section):
    """By what the loss is multiplied, so that errors do not fall below the smallest number.

    A step whose gradients are not all finite changes nothing, whatever the kind.

    Attributes:
        kind: ``none``; ``constant``; ``dynamic`` (backs off when gradients overflow, grows after a while without:
            Micikevicius et al., "Mixed Precision Training", ICLR 2018); ``enhanced`` (dynamic, but never below a
            minimum that rises: Mellempudi et al., arXiv 1905.12334).
        scale: Where it starts.
        growth: Factor after ``interval`` steps in a row without overflow.
        backoff: Factor after an overflow.
        interval: Steps until it grows; 2000 is usual for trainings of 100 000 steps, ours are shorter.
        largest: It grows no further.
        minimum: Pairs (share of the steps done, least scale from then on), for ``enhanced``. The paper's thresholds are
            8192 after 40 000 and 32768 after 150 000 steps of a translation model; as shares they fit any length.
    """

    kind: Literal["none", "constant", "dynamic", "enhanced"] = "enhanced"
    scale: Positive = 8192.0
    growth: float = Field(default=2.0, gt=1.0, allow_inf_nan=False)
    backoff: float = Field(default=0.5, gt=0.0, lt=1.0)
    interval: int = Field(default=200, ge=1)
    largest: Positive = 2.0**24
    minimum: tuple[tuple[Share, Positive], ...] = ((0.15, 8192.0), (0.5, 32768.0))

    def contradictions(self) -> Iterator[Problem]:
        """Yield thresholds that fall, and a start above the largest scale."""
        if list(self.minimum) != sorted(self.minimum) or [s for _, s in self.minimum] != sorted(
            s for _, s in self.minimum
        ):
            yield Problem(("minimum",), "expected pairs of a share and a scale, in which both rise")
        highest = max([self.scale, *(scale for _, scale in self.minimum)])
        if highest > self.largest:
            yield Problem(("largest",), f"is below {highest:g}, which the scale reaches: make it larger")

    def least(self, done: float) -> float:
        """Return the least scale once the share ``done`` of all steps has passed; 0 where there is none."""
        reached = [scale for share, scale in self.minimum if self.kind == "enhanced" and done >= share]
        return max(reached, default=0.0)


class Float8(Section):
    """Products of eight-bit floats in training: forward, of the input's gradient and of the weights'.

    Attributes:
        format: ``e5m2`` (as in the paper), ``e4m3``, or ``hybrid``: E4M3 for weights and activations, E5M2 for errors
            and gradients (Micikevicius et al., arXiv 2209.05433).
        rounding: To the nearest or at random, for each class of tensors.
        products: ``emulated`` by wider floats, which is exact, or ``scaled_mm``: torch's own eight-bit types, in
            hardware on GPUs of compute capability 8.9 and above.
        saturate: Whether what is too large becomes the largest number, instead of infinite.
        master: Format of the weights that the optimiser changes.
        exempt: Which of the ``first`` and the ``last`` layer keep products of real numbers.
        loss_scaling: How the loss is scaled.
    """

    format: Literal["e5m2", "e4m3", "hybrid"] = "e5m2"
    rounding: Rounding = Rounding()
    products: Literal["emulated", "scaled_mm"] = "emulated"
    saturate: bool = False
    master: Literal["float16", "float32"] = "float16"
    exempt: tuple[End, ...] = ENDS
    loss_scaling: LossScaling = LossScaling()

    def contradictions(self) -> Iterator[Problem]:
        """Yield products that no GPU has."""
        if self.products == "scaled_mm" and self.format == "e5m2":
            yield Problem(
                ("products",), "no GPU multiplies E5M2 with E5M2: choose format: hybrid, or emulated products"
            )
