"""When frames arrive: one file per kind of source, all of them ``Arrivals``."""

from hwsim.simulation.arrivals.base import Arrivals
from hwsim.simulation.arrivals.link import over_link
from hwsim.simulation.arrivals.markov_modulated import MarkovModulatedArrivals, ModulatingState
from hwsim.simulation.arrivals.motion import MotionArrivals
from hwsim.simulation.arrivals.periodic import Bursts, PeriodicArrivals
from hwsim.simulation.arrivals.poisson import PoissonArrivals
from hwsim.simulation.arrivals.recorded import RecordedArrivals

__all__ = [
    "Arrivals",
    "Bursts",
    "MarkovModulatedArrivals",
    "ModulatingState",
    "MotionArrivals",
    "PeriodicArrivals",
    "PoissonArrivals",
    "RecordedArrivals",
    "over_link",
]
