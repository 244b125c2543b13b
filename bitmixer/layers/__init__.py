"""Layers whose bit-widths can be switched between two forward passes."""

from bitmixer.layers.absorbed_relu import AbsorbedReLU
from bitmixer.layers.exact_average import ExactAverage
from bitmixer.layers.site import MixedConvolution, MixedLinear, Site
from bitmixer.layers.stored_tensor import StoredTensor
from bitmixer.layers.transitional_norm import TransitionalNorm

__all__ = [
    "AbsorbedReLU",
    "ExactAverage",
    "MixedConvolution",
    "MixedLinear",
    "Site",
    "StoredTensor",
    "TransitionalNorm",
]
