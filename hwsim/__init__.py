"""A bit-serial accelerator on a hot device, simulated, with a real network's outputs.

scenario -> device + layer graph -> cost table -> simulation <-> controller -> outputs -> records -> figures:
``hwsim.pipeline`` holds it on one page. ``run``, ``compare`` and ``sweep`` are the commands of these names, for
programs and notebooks.

Names are imported on first use, so that the package itself loads next to nothing. No submodule may be named like one of
them: importing it would put the module in the place of the name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hwsim.api import ComparedRuns as ComparedRuns
    from hwsim.api import Result as Result
    from hwsim.api import SweptRuns as SweptRuns
    from hwsim.api import compare as compare
    from hwsim.api import run as run
    from hwsim.api import sweep as sweep

__all__ = ["ComparedRuns", "Result", "SweptRuns", "compare", "run", "sweep"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'hwsim' has no attribute {name!r}")
    return getattr(importlib.import_module("hwsim.api"), name)
