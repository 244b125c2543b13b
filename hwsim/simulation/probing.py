"""Probes of one stream: a finished frame runs again at other bits, and the controller is told how far both agree."""

from __future__ import annotations

from collections.abc import Callable

from bitmixer.graph import LayerGraph
from hwsim.controllers.base import Probe, ProbeResult
from hwsim.simulation.accelerator import Accelerator
from hwsim.simulation.events import Widths
from hwsim.simulation.lane import Frame

Agreement = Callable[[Frame, tuple[Widths, ...], tuple[Widths, ...]], int]
"""For how many of a frame's inputs the network names the same class under two assignments."""


class Probing:
    """Starts probes and keeps what they told until the controller is asked.

    Args:
        accelerator: Runs them.
        stream: Number of the stream.
        graph: Its network.
        agreement: Compares answers.
    """

    def __init__(self, accelerator: Accelerator, stream: int, graph: LayerGraph, agreement: Agreement) -> None:
        self._accelerator = accelerator
        self._stream = stream
        self._highest = {layer.name: max(layer.allowed) for layer in graph.layers}
        self._agreement = agreement
        self._frame: tuple[Frame, tuple[Widths, ...]] | None = None
        self._told: list[ProbeResult] = []

    def start(self, probe: Probe) -> None:
        """Run the last finished frame again, if there is one and no probe is under way."""
        frame = self._accelerator.probe(self._stream, [*(self._highest | dict(probe.widths)).values()])
        self._frame = frame or self._frame

    def end(self, widths: tuple[Widths, ...]) -> None:
        """Take note of a probe that ran to its end at these widths, or was aborted if there are none."""
        assert self._frame is not None  # it was started
        (frame, own), self._frame = self._frame, None
        if widths:
            agreeing = self._agreement(frame, own, widths)
            self._told.append(ProbeResult(frame=frame.number, widths=own, inputs=len(frame.inputs), agreeing=agreeing))

    def take(self) -> tuple[ProbeResult, ...]:
        """Return what was told since the last call."""
        told, self._told = tuple(self._told), []
        return told
