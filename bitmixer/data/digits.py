"""The 8x8 digits that scikit-learn ships (1797 images, UCI optical recognition of handwritten digits)."""

from __future__ import annotations

import numpy as np

from bitmixer.data.images import ImageSet, split_by_class

SHAPE = (1, 8, 8)
TRAINING_IMAGES = 1438


def load() -> ImageSet:
    """Return 1438 training and 359 test images of shape (1, 8, 8)."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    inputs = (pixels / 16.0).astype(np.float32).reshape(-1, *SHAPE)
    return split_by_class(inputs, labels.astype(np.int64), test_share=0.2, seed=0)
