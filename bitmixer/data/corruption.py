"""Corruptions that make images harder, each a function of (kind, severity, seed) alone."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from bitmixer.errors import DataError, did_you_mean

KINDS = ("blur", "noise")
_FORM = re.compile(r"(?P<kind>[a-z]+)(?P<severity>\d+(?:\.\d+)?)(?:@(?P<seed>\d+))?")


def parse(text: str, *, where: str) -> tuple[str, float, int]:
    """Read ``kindSEVERITY@SEED``.

    Raises:
        DataError: Not of that form, or an unknown kind.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise DataError(f"{where}: corruption {text!r}: expected kindSEVERITY@SEED, for example noise0.4@7")
    if match["kind"] not in KINDS:
        raise DataError(f"{where}: unknown corruption {match['kind']!r}: {did_you_mean(match['kind'], KINDS)}")
    return match["kind"], float(match["severity"]), int(match["seed"] or 0)


def apply(inputs: NDArray[np.float32], kind: str, severity: float, seed: int) -> NDArray[np.float32]:
    """Corrupt images (n, channels, height, width) in [0, 1].

    ``noise``: Gaussian, ``severity`` is its standard deviation. ``blur``: Gaussian, ``severity`` is its
    standard deviation in pixels. Pixels stay in [0, 1].
    """
    if kind == "noise":
        generator = np.random.default_rng(seed)
        noisy = inputs + severity * generator.standard_normal(inputs.shape, dtype=np.float32)
        return np.clip(noisy, 0.0, 1.0).astype(np.float32)
    from scipy.ndimage import gaussian_filter

    blurred: NDArray[np.float32] = gaussian_filter(inputs, sigma=(0, 0, severity, severity)).astype(np.float32)
    return blurred
