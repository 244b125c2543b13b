"""What changes over time around a device: one file per kind, all of them ``TimeSeries``."""

from hwsim.plant.time_series.base import TimeSeries
from hwsim.plant.time_series.piecewise_linear import PiecewiseLinear
from hwsim.plant.time_series.sine import Sine

__all__ = ["PiecewiseLinear", "Sine", "TimeSeries"]
