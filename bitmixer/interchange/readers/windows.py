"""Windows that slide over a map: those of convolutions and pools."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bitmixer.interchange.readers.operation import Operation
from bitmixer.interchange.values import Value


@dataclass(frozen=True, kw_only=True)
class Window:
    """A window, with one number per axis of the map.

    Attributes:
        kernel: Its sizes.
        strides: How far it moves.
        dilations: Distances within it.
        begins: Padding before each axis.
        ends: Padding behind each axis.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]

    @classmethod
    def read(cls, operation: Operation, x: Value, kernel: Sequence[int] | None = None) -> Window:
        """Read an operator's attributes.

        Args:
            operation: The operator.
            x: The tensor that it slides over.
            kernel: Sizes, where the weights tell them.

        Raises:
            InterchangeError: Sizes are missing, contradict each other or are not understood.
        """
        sizes = tuple(kernel or operation.attribute("kernel_shape", ()))
        said = tuple(operation.attribute("kernel_shape", sizes))
        axes = x.rank - 2
        ones = (1,) * axes
        strides, dilations = (tuple(operation.attribute(name, ones)) for name in ("strides", "dilations"))
        pads = tuple(operation.attribute("pads", (0,) * 2 * axes))
        if not (said == sizes and len(sizes) == len(strides) == len(dilations) == axes and len(pads) == 2 * axes):
            raise operation.error(
                f"kernel {said or 'not given'}, strides {strides}, dilations {dilations}, pads {pads} on a map with "
                f"{axes} axes; expected a number per axis (and two pads)"
            )
        if min(pads, default=0) < 0:
            raise operation.error(f"pads {pads}; expected none that crops")
        automatic = operation.attribute("auto_pad", "NOTSET")
        if automatic == "NOTSET":
            begins, ends = pads[:axes], pads[axes:]
        elif automatic == "VALID":
            begins = ends = (0,) * axes
        elif automatic in ("SAME_UPPER", "SAME_LOWER"):
            reach = [dilation * (size - 1) + 1 for dilation, size in zip(dilations, sizes, strict=True)]
            less, more = _same(x.tensor.shape[2:], strides, reach)
            begins, ends = (less, more) if automatic == "SAME_UPPER" else (more, less)
        else:
            raise operation.error(f"auto_pad {automatic}; expected NOTSET, VALID, SAME_UPPER or SAME_LOWER")
        return cls(kernel=sizes, strides=strides, dilations=dilations, begins=begins, ends=ends)

    @property
    def is_even(self) -> bool:
        """Whether the padding is the same on both sides."""
        return self.begins == self.ends

    @property
    def torch_pads(self) -> tuple[int, ...]:
        """Padding as ``torch.nn.functional.pad`` takes it: last axis first, both sides of each."""
        pairs = zip(reversed(self.begins), reversed(self.ends), strict=True)
        return tuple(side for pair in pairs for side in pair)


def _same(
    sizes: Sequence[int], strides: Sequence[int], reach: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the padding that makes ``ceil(size / stride)`` results, the smaller halves and the larger ones."""
    totals = [
        max((math.ceil(size / stride) - 1) * stride + span - size, 0)
        for size, stride, span in zip(sizes, strides, reach, strict=True)
    ]
    return tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
