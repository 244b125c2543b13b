"""The bit-serial datapath in software: bit planes, AND, popcount, shift-add, thresholds. Needs no torch.

``signs`` has what binary networks need alone: XNOR convolutions of packed signs.

Everything here is exact. Compiled products need the extra ``kernels``; importing this package does not.
"""

from bitmixer.kernels.bit_planes import BitPlanes, Encoding, encoded_codes, pack
from bitmixer.kernels.layers import CodeFormat, convolve, multiply
from bitmixer.kernels.products import Product, popcount_product, reference_product
from bitmixer.kernels.thresholds import Thresholds, find_thresholds

__all__ = [
    "BitPlanes",
    "CodeFormat",
    "Encoding",
    "Product",
    "Thresholds",
    "convolve",
    "encoded_codes",
    "find_thresholds",
    "multiply",
    "pack",
    "popcount_product",
    "reference_product",
]
