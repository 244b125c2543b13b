"""Networks in other tools' formats: QONNX out, QONNX and plain ONNX in.

Everything here needs the extra ``onnx``, so importing any part of this package says so where it is missing.
"""

from __future__ import annotations

from importlib.util import find_spec

from bitmixer.errors import MissingExtraError

if find_spec("onnx") is None:
    raise MissingExtraError("reading and writing ONNX needs the extra 'onnx': pip install 'bitmixer-hwsim[onnx]'")
