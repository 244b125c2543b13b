"""Arrays whose cycles depend on the values that they multiply, one file each.

They take the codes that really flow through a network (:func:`bitmixer.execution.operands`), never averages.
"""

from __future__ import annotations

from hwsim.cost.arrays.valued.base import ValueArray, bound_cycles, network_cycles
from hwsim.cost.arrays.valued.bbs import BitVert
from hwsim.cost.arrays.valued.bitwave import BitWave
from hwsim.cost.arrays.valued.loom import Loom
from hwsim.cost.arrays.valued.pragmatic import Pragmatic

__all__ = ["BitVert", "BitWave", "Loom", "Pragmatic", "ValueArray", "bound_cycles", "network_cycles"]
