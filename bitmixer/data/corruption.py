"""Corruptions that make images harder, each a function of (kind, severity, seed) alone."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bitmixer.errors import DataError, did_you_mean

Images = NDArray[np.float32]
KINDS = ("blur", "contrast", "fog", "noise")
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


def apply(inputs: NDArray[np.float32], kind: str, severity: float, seed: int | tuple[int, ...]) -> NDArray[np.float32]:
    """Corrupt images (n, channels, height, width) in [0, 1]; pixels stay in [0, 1].

    ``noise``: Gaussian, ``severity`` is its standard deviation.
    ``blur``: Gaussian, ``severity`` is its standard deviation in pixels.
    ``contrast``: ``severity`` is the share of each pixel's distance from its image's mean that is lost (1: grey).
    ``fog``: a smooth random haze of height ``severity`` is laid over the image, which then is scaled back into [0, 1].
    Kinds and their order of difficulty follow Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to
    Common Corruptions", ICLR 2019; the formulas are our own.
    """
    corrupted = _FORMULAS[kind](inputs, severity, np.random.default_rng(seed))
    return np.clip(corrupted, 0.0, 1.0).astype(np.float32)


def _noise(inputs: Images, severity: float, generator: np.random.Generator) -> Images:
    return inputs + severity * generator.standard_normal(inputs.shape, dtype=np.float32)


def _blur(inputs: Images, severity: float, generator: np.random.Generator) -> Images:
    from scipy.ndimage import gaussian_filter

    blurred: Images = gaussian_filter(inputs, sigma=(0, 0, severity, severity))
    return blurred


def _contrast(inputs: Images, severity: float, generator: np.random.Generator) -> Images:
    mean = inputs.mean(axis=(1, 2, 3), keepdims=True)
    flat: Images = mean + max(0.0, 1.0 - severity) * (inputs - mean)
    return flat


def _fog(inputs: Images, severity: float, generator: np.random.Generator) -> Images:
    """Haze of one height for all channels: noise at halving wavelengths and amplitudes, scaled to [0, 1]."""
    from scipy.ndimage import gaussian_filter

    count, _, height, width = inputs.shape
    haze = np.zeros((count, 1, height, width), np.float32)
    wavelength = max(height, width) / 4.0
    while wavelength >= 1.0:
        octave = gaussian_filter(
            generator.standard_normal(haze.shape, dtype=np.float32), sigma=(0, 0, wavelength, wavelength), mode="wrap"
        )
        haze += np.float32(wavelength) * octave / octave.std()
        wavelength /= 2.0
    low, high = haze.min(axis=(2, 3), keepdims=True), haze.max(axis=(2, 3), keepdims=True)
    foggy: Images = (inputs + severity * (haze - low) / (high - low)) / (1.0 + severity)
    return foggy


_FORMULAS: dict[str, Callable[[Images, float, np.random.Generator], Images]] = {
    "blur": _blur, "contrast": _contrast, "fog": _fog, "noise": _noise
}  # fmt: skip
