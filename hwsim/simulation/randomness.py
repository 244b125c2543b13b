"""One named random stream per source, so that what one draws never moves another."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, source: str) -> np.random.Generator:
    """Return the stream of a source (``arrivals``, ``inputs``, ``sensors``, ``controller``) under a seed."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(zlib.crc32(source.encode()),)))
