"""Runs, comparisons and sweeps for programs and notebooks.

What a function returns shows itself in a notebook, gives its tables as data frames, and draws its figures. Runs that
are there are not repeated, so that a notebook can be run again.
"""

from hwsim.api.comparisons import ComparedRuns, compare
from hwsim.api.runs import Result, run
from hwsim.api.sweeps import SweptRuns, sweep

__all__ = ["ComparedRuns", "Result", "SweptRuns", "compare", "run", "sweep"]
