"""Power traces: watts of every block in every interval (``.ptrace``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitmixer.errors import did_you_mean
from hwsim.errors import ConfigurationError
from hwsim.hotspot.floorplan import Block
from hwsim.hotspot.lines import Word, read_lines

MOST_WATTS_PER_SQUARE_METRE = 1e8
"""Ours: hot spots of processors reach some 1e7 (1 kW/cm^2)."""


def load_power_trace(file: Path, blocks: Sequence[Block]) -> NDArray[np.float64]:
    """Read a power trace: a line of names, then a line of watts for each interval.

    Args:
        file: The trace; its columns may stand in any order.
        blocks: The floorplan's blocks.

    Returns:
        Watts [interval, block], blocks in the floorplan's order.

    Raises:
        ConfigurationError: Unreadable, without intervals, a block is unknown, missing or given twice, a line has
            another number of values than blocks, or a power is not a finite number from 0 that a chip can bear.
    """
    lines = read_lines(file)
    header = next(lines, None)
    if header is None:
        raise ConfigurationError(f"{file}: empty: expected a line of block names, then lines of watts")
    order = _order(header, [block.name for block in blocks])
    areas = {block.name: block.area for block in blocks}
    rows = [_watts(words, header, areas) for words in lines]
    if not rows:
        raise ConfigurationError(f"{file}: no interval: expected a line of watts under the names")
    return np.array(rows)[:, order]


def _order(header: list[Word], blocks: Sequence[str]) -> list[int]:
    """Return the column of each block."""
    columns: dict[str, int] = {}
    for column, word in enumerate(header):
        if word.text not in blocks:
            raise word.error(f"the floorplan has no block {word.text!r}: {did_you_mean(word.text, blocks)}")
        if word.text in columns:
            raise word.error(f"block {word.text!r} has two columns: keep one")
        columns[word.text] = column
    missing = [name for name in blocks if name not in columns]
    if missing:
        raise header[0].error(f"no column for block {missing[0]!r}: a block at rest draws 0 W, too")
    return [columns[name] for name in blocks]


def _watts(words: list[Word], header: list[Word], areas: Mapping[str, float]) -> list[float]:
    if len(words) != len(header):
        raise words[0].error(f"{len(words)} values: expected {len(header)}, one for each block named in the first line")
    watts = []
    for word, name in zip(words, header, strict=True):
        power = word.number(f"power of {name.text!r}", least=0.0)
        if power > MOST_WATTS_PER_SQUARE_METRE * areas[name.text]:
            raise word.error(
                f"power of {name.text!r} is {power:g} W on {areas[name.text] * 1e6:.3g} mm^2: more than "
                f"{MOST_WATTS_PER_SQUARE_METRE / 1e6:g} W/mm^2, ten times a hot spot's: expected watts"
            )
        watts.append(power)
    return watts
