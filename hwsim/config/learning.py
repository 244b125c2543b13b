"""How the device learns from what comes its way."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bitmixer.documents.section import Section, Text
from hwsim.config.quantity import Picoseconds, PositiveCount, PositiveFraction, PositivePicoseconds, written


class Learning(Section):
    """Training steps in eight-bit floats, while the array has nothing else to do.

    Attributes:
        stream: Whose network learns, from whose inputs.
        inputs: Of a step: those that were answered last.
        period_picoseconds: A step is asked for so often; one that is still under way is left to end first.
        bits: Uniform width at which the network learns; norms of other transitions stay as they are.
        learned: What a step changes: ``norms_and_classifier``, or ``all`` weights too.
        labels: What the inputs are taken to be: ``late`` (their true classes become known after ``label_delay``) or
            ``confident`` (what the network itself says of those of which it is sure).
        label_delay_picoseconds: Time from a frame's end until its labels are known.
        confidence: Least probability of what the network is sure of.
        format: What its products multiply.
        learning_rate: Of gradient descent with Nesterov momentum 0.9.
    """

    stream: Text
    inputs: PositiveCount = 32
    period_picoseconds: PositivePicoseconds
    bits: PositiveCount = 8
    learned: Literal["norms_and_classifier", "all"] = "norms_and_classifier"
    labels: Literal["late", "confident"] = "late"
    label_delay_picoseconds: Picoseconds = written("0 s")
    confidence: PositiveFraction = 0.9
    format: Literal["e5m2", "e4m3", "hybrid"] = "e5m2"
    learning_rate: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 0.02

    @property
    def delay_picoseconds(self) -> int:
        """Time from an answer until its input can be learned from."""
        return self.label_delay_picoseconds if self.labels == "late" else 0


def learner_name(stream: str) -> str:
    """Return the name under which records have the training steps of a stream's network."""
    return f"{stream} learning"
