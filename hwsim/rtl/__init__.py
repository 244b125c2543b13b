"""Register-level truth: the BISMO array as a circuit, to hold the array model's cycles and the integers against.

Everything here needs the extra ``rtl``, so importing any part of this package says so where it is missing.
"""

from __future__ import annotations

from importlib.util import find_spec

from bitmixer.errors import MissingExtraError

if find_spec("amaranth") is None:
    raise MissingExtraError("circuits need the extra 'rtl': pip install 'bitmixer-hwsim[rtl]'")
