"""Layers whose bit-widths can be switched between two forward passes."""

from bitmixer.layers.absorbed_relu import AbsorbedReLU
from bitmixer.layers.binary_code import BitPlaneCode, ThermometerCode
from bitmixer.layers.exact_reductions import ExactAttention, ExactAverage, ExactProduct, ExactReduction, ExactSoftmax
from bitmixer.layers.repeated_channels import RepeatedChannels
from bitmixer.layers.shifted_prelu import ShiftedPReLU
from bitmixer.layers.site import MixedConvolution, MixedLinear, Site
from bitmixer.layers.stochastic_depth import StochasticDepth
from bitmixer.layers.stored_tensor import StoredTensor
from bitmixer.layers.transitional_norm import Affine, TransitionalNorm

__all__ = [
    "AbsorbedReLU",
    "Affine",
    "BitPlaneCode",
    "ExactAttention",
    "ExactAverage",
    "ExactProduct",
    "ExactReduction",
    "ExactSoftmax",
    "MixedConvolution",
    "MixedLinear",
    "RepeatedChannels",
    "ShiftedPReLU",
    "Site",
    "StochasticDepth",
    "StoredTensor",
    "ThermometerCode",
    "TransitionalNorm",
]
