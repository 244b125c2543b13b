"""The way to DRAM: how many cycles of the array's clock traffic takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bitmixer.graph import LOGIT_BITS
from hwsim.cost.arrays.base import Int64Array, ceil_divide

ACCUMULATOR_BITS = LOGIT_BITS
"""Width of a sum that is not requantised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Bits read from and written to DRAM; all arrays broadcast to the axes of the question asked.

    Attributes:
        read_bits: From DRAM.
        write_bits: To DRAM.
        occupied_bits: Bits that would take the DRAM as long at its full efficiency; ``None``: the sum of both.
    """

    read_bits: Int64Array
    write_bits: Int64Array
    occupied_bits: Int64Array | None = None

    @property
    def bits(self) -> Int64Array:
        """Bits in both directions."""
        return self.read_bits + self.write_bits

    @property
    def time_bits(self) -> Int64Array:
        """``occupied_bits``, where they are not the sum of both directions."""
        return self.bits if self.occupied_bits is None else self.occupied_bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A DRAM shared by both directions, behind a port with a channel for each.

    Attributes:
        dram_bandwidth_bits_per_second: Usable bandwidth: the peak times the controller's efficiency.
        port_bits_per_cycle: Width of one direction of the port, which runs at the array's clock.
    """

    dram_bandwidth_bits_per_second: float
    port_bits_per_cycle: int

    def cycles(self, traffic: Traffic, frequency_hertz: int) -> Int64Array:
        """Return the array cycles that ``traffic`` takes with the array's clock at ``frequency_hertz``.

        The slower of port and DRAM counts: max(ceil(max(read, write) / port), ceil((read + write) * f /
        bandwidth)). Exact while bits times hertz stay below 2^53; beyond, to one cycle in 10^15.
        """
        port = ceil_divide(np.maximum(traffic.read_bits, traffic.write_bits), self.port_bits_per_cycle)
        slower: Int64Array = np.maximum(port, self.dram_cycles(traffic.time_bits, frequency_hertz))
        return slower

    def dram_cycles(self, bits: Int64Array, frequency_hertz: int) -> Int64Array:
        """Return the cycles that the DRAM by itself takes for ``bits``."""
        cycles = np.ceil(bits * float(frequency_hertz) / self.dram_bandwidth_bits_per_second)
        whole: Int64Array = cycles.astype(np.int64)
        return whole

    def shared(self, share: float) -> Memory:
        """Return the same way to DRAM where only this share of the bandwidth is free."""
        return replace(self, dram_bandwidth_bits_per_second=self.dram_bandwidth_bits_per_second * share)
