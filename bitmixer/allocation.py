"""Memory that a training frees and needs again in the next step."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the C library keep what is freed instead of giving it back to the system; return whether it can.

    Large tensors live for one training step. glibc gives them back each time, and the next step waits while the
    system clears thousands of pages anew; numbers are in ``docs/quantizers.md``. Elsewhere than on glibc this does
    nothing. It stays until the process ends.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    return bool(mallopt(M_TRIM_THRESHOLD, LARGEST) and mallopt(M_MMAP_THRESHOLD, LARGEST))
