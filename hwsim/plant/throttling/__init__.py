"""The device's own protection: laws that cap its clock as it heats up, one file each behind one protocol."""

from hwsim.plant.throttling.bang_bang import BangBang, BangBangTrip
from hwsim.plant.throttling.base import Mark, PollPeriods, Reading, ThrottlingLaw, Verdict, millicelsius
from hwsim.plant.throttling.divider import Divider, DividerTrip
from hwsim.plant.throttling.power_allocator import Gains, PowerAllocator
from hwsim.plant.throttling.step_wise import StepWise, StepWiseTrip

__all__ = [
    "BangBang", "BangBangTrip", "Divider", "DividerTrip", "Gains", "Mark", "PollPeriods", "PowerAllocator", "Reading",
    "StepWise", "StepWiseTrip", "ThrottlingLaw", "Verdict", "millicelsius",
]  # fmt: skip
