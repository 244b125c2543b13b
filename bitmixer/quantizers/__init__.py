"""Numbers of few bits: integer codes times a step.

Classes are imported on first use: the names and facts of :mod:`bitmixer.quantizers.registry` need no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from bitmixer.quantizers.registry import NESTED, QUANTIZERS, Granularity, Quantization, QuantizerName

if TYPE_CHECKING:
    from bitmixer.quantizers.base import Coded as Coded
    from bitmixer.quantizers.base import Quantizer as Quantizer
    from bitmixer.quantizers.binary import BinaryActivationQuantizer as BinaryActivationQuantizer
    from bitmixer.quantizers.binary import BinaryWeightQuantizer as BinaryWeightQuantizer
    from bitmixer.quantizers.bit_planes import BitPlaneQuantizer as BitPlaneQuantizer
    from bitmixer.quantizers.codes import code_range as code_range
    from bitmixer.quantizers.dorefa import DoReFaWeightQuantizer as DoReFaWeightQuantizer
    from bitmixer.quantizers.lsq import StepQuantizer as StepQuantizer
    from bitmixer.quantizers.nested import NestedWeightQuantizer as NestedWeightQuantizer
    from bitmixer.quantizers.pact import PactQuantizer as PactQuantizer

_HOMES = {
    "BinaryActivationQuantizer": "binary",
    "BinaryWeightQuantizer": "binary",
    "BitPlaneQuantizer": "bit_planes",
    "Coded": "base",
    "DoReFaWeightQuantizer": "dorefa",
    "NestedWeightQuantizer": "nested",
    "PactQuantizer": "pact",
    "Quantizer": "base",
    "StepQuantizer": "lsq",
    "code_range": "codes",
}

__all__ = [
    "NESTED",
    "QUANTIZERS",
    "BinaryActivationQuantizer",
    "BinaryWeightQuantizer",
    "BitPlaneQuantizer",
    "Coded",
    "DoReFaWeightQuantizer",
    "Granularity",
    "NestedWeightQuantizer",
    "PactQuantizer",
    "Quantization",
    "Quantizer",
    "QuantizerName",
    "StepQuantizer",
    "code_range",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bitmixer.quantizers' has no attribute {name!r}")
    return getattr(importlib.import_module(f"bitmixer.quantizers.{_HOMES[name]}"), name)
