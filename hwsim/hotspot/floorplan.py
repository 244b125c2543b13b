"""Floorplans: the rectangular blocks of a chip (``.flp``)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import ConfigurationError
from hwsim.hotspot.lines import Word, read_lines

TOLERANCE_METRES = 1e-6
"""Edges closer than this count as touching: floorplans are written with rounded coordinates."""

COLUMNS = ("name", "width", "height", "left", "bottom")
CONNECTION_WORDS = 3
"""A line of two blocks and a wire density, which is for floorplanners."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A rectangle of the chip, in metres; y grows to the north."""

    name: str
    width: float
    height: float
    left: float
    bottom: float

    @property
    def right(self) -> float:
        """The eastern edge."""
        return self.left + self.width

    @property
    def top(self) -> float:
        """The northern edge."""
        return self.bottom + self.height

    @property
    def area(self) -> float:
        """Area in square metres."""
        return self.width * self.height


@dataclass(frozen=True, slots=True, kw_only=True)
class Floorplan:
    """The blocks of a chip whose south-western corner is the origin."""

    blocks: tuple[Block, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The blocks' names, in the file's order."""
        return tuple(block.name for block in self.blocks)

    @property
    def width(self) -> float:
        """Extent to the east, in metres."""
        return max(block.right for block in self.blocks)

    @property
    def height(self) -> float:
        """Extent to the north, in metres."""
        return max(block.top for block in self.blocks)

    def check_within(self, spreader_metres: float) -> None:
        """Check that the die lies within a spreader of this side.

        Raises:
            ConfigurationError: It does not.
        """
        if max(self.width, self.height) >= spreader_metres:
            raise ConfigurationError(
                f"the die of {self.width:g} m x {self.height:g} m does not lie within the spreader of "
                f"{spreader_metres:g} m a side: check that the floorplan is in metres, or enlarge -s_spreader"
            )

    def shared_edges(self) -> tuple[FloatArray, FloatArray]:
        """Return the lengths of the edges that blocks share, in metres, both [block, block] and symmetric.

        First those between neighbours to the east and west, then those between neighbours to the north and south.
        """
        count = len(self.blocks)
        beside, above = np.zeros((count, count)), np.zeros((count, count))
        for (i, first), (j, second) in combinations(enumerate(self.blocks), 2):
            overlap_x = min(first.right, second.right) - max(first.left, second.left)
            overlap_y = min(first.top, second.top) - max(first.bottom, second.bottom)
            if abs(overlap_x) < TOLERANCE_METRES < overlap_y:
                beside[i, j] = beside[j, i] = overlap_y
            elif abs(overlap_y) < TOLERANCE_METRES < overlap_x:
                above[i, j] = above[j, i] = overlap_x
        return beside, above


def load_floorplan(file: Path) -> Floorplan:
    """Read a floorplan.

    Raises:
        ConfigurationError: Unreadable, without blocks, a block is malformed, named twice or covers another, or blocks
            leave a part of the die empty.
    """
    blocks: list[Block] = []
    names: list[Word] = []
    connected: list[Word] = []
    for words in read_lines(file):
        if len(words) == CONNECTION_WORDS:
            connected += words[:2]
        else:
            blocks.append(_block(words))
            names.append(words[0])
    if not blocks:
        raise ConfigurationError(f"{file}: no blocks: expected lines of {', '.join(COLUMNS)} (metres)")
    for word in connected:
        if word.text not in {block.name for block in blocks}:
            raise word.error(f"no block {word.text!r}: a line of three words connects two blocks")
    _check_apart(blocks, names)
    _check_holes(file, blocks)
    west, south = min(block.left for block in blocks), min(block.bottom for block in blocks)
    return Floorplan(
        blocks=tuple(
            Block(
                name=block.name,
                width=block.width,
                height=block.height,
                left=block.left - west,
                bottom=block.bottom - south,
            )
            for block in blocks
        )
    )


def _block(words: list[Word]) -> Block:
    if len(words) != len(COLUMNS):
        advice = "; materials of single blocks are for the grid model" if len(words) > len(COLUMNS) else ""
        raise words[0].error(f"{len(words)} words: expected {', '.join(COLUMNS)} (metres){advice}")
    name, width, height, left, bottom = words
    return Block(
        name=name.text,
        width=width.number(f"width of {name.text!r}", above=0.0),
        height=height.number(f"height of {name.text!r}", above=0.0),
        left=left.number(f"left edge of {name.text!r}"),
        bottom=bottom.number(f"bottom edge of {name.text!r}"),
    )


def _check_holes(file: Path, blocks: list[Block]) -> None:
    """Refuse a die that its blocks do not fill; rounded edges leave slits."""
    width = max(block.right for block in blocks) - min(block.left for block in blocks)
    height = max(block.top for block in blocks) - min(block.bottom for block in blocks)
    bare = width * height - sum(block.area for block in blocks)
    if bare > TOLERANCE_METRES * sum(block.width + block.height for block in blocks):
        raise ConfigurationError(
            f"{file}: blocks leave {bare * 1e6:.3g} mm^2 of a die of {width * 1e3:g} x {height * 1e3:g} mm empty, and "
            "heat does not cross a gap: fill it with blocks that draw 0 W"
        )


def _check_apart(blocks: list[Block], names: list[Word]) -> None:
    for (i, first), (j, second) in combinations(enumerate(blocks), 2):
        if first.name == second.name:
            raise names[j].error(f"block {second.name!r} is already on line {names[i].line}: rename one")
        apart = (
            min(first.right, second.right) - max(first.left, second.left) < TOLERANCE_METRES
            or min(first.top, second.top) - max(first.bottom, second.bottom) < TOLERANCE_METRES
        )
        if not apart:
            raise names[j].error(f"block {second.name!r} covers a part of {first.name!r}: move or shrink one")
