"""What moves between chip and DRAM, and how long it takes: one file per idea."""

from hwsim.cost.memory.buffers import Buffers, GatheredRows, ShortTransfers
from hwsim.cost.memory.dram import Memory, Traffic
from hwsim.cost.memory.execution import Execution
from hwsim.cost.memory.traffic import layer_traffic, norm_reload_bits

__all__ = [
    "Buffers",
    "Execution",
    "GatheredRows",
    "Memory",
    "ShortTransfers",
    "Traffic",
    "layer_traffic",
    "norm_reload_bits",
]
