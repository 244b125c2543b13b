"""How bits meet hardware: cycles, traffic and energy of every site at every combination of bit-widths."""

from hwsim.cost.energy import EnergyEntry, EnergyTable
from hwsim.cost.memory import Memory
from hwsim.cost.table import CostTable, cost_table

__all__ = ["CostTable", "EnergyEntry", "EnergyTable", "Memory", "cost_table"]
