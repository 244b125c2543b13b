"""Numbers of few bits: integer codes times a learned step."""

from bitmixer.quantizers.lsq import StepQuantizer, code_range
from bitmixer.quantizers.nested import NestedWeightQuantizer

__all__ = ["NestedWeightQuantizer", "StepQuantizer", "code_range"]
