"""Networks whose layers change their bit-width at run time.

Names are imported on first use, so that plain-data modules stay usable without loading torch. No submodule
may be named like one of them: importing it would put the module in the place of the name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitmixer.bitwidths import BitAssignment as BitAssignment
    from bitmixer.bitwidths import BitWidths as BitWidths
    from bitmixer.capturing import capture as capture
    from bitmixer.conversion import convert as convert
    from bitmixer.data import ImageSet as ImageSet
    from bitmixer.data import load_data as load_data
    from bitmixer.execution import StepwiseRun as StepwiseRun
    from bitmixer.graph import LayerGraph as LayerGraph
    from bitmixer.interchange.onnx_import import from_onnx as from_onnx
    from bitmixer.interchange.onnx_import import graph_from_onnx as graph_from_onnx
    from bitmixer.interchange.qonnx_export import export_qonnx as export_qonnx
    from bitmixer.networks import load_network as load_network
    from bitmixer.networks.saving import save_network as save_network
    from bitmixer.training.loop import fit as fit
    from bitmixer.training.recipe import Training as Training

_HOMES = {
    "BitAssignment": "bitmixer.bitwidths",
    "BitWidths": "bitmixer.bitwidths",
    "ImageSet": "bitmixer.data",
    "LayerGraph": "bitmixer.graph",
    "StepwiseRun": "bitmixer.execution",
    "Training": "bitmixer.training.recipe",
    "capture": "bitmixer.capturing",
    "convert": "bitmixer.conversion",
    "export_qonnx": "bitmixer.interchange.qonnx_export",
    "fit": "bitmixer.training.loop",
    "from_onnx": "bitmixer.interchange.onnx_import",
    "graph_from_onnx": "bitmixer.interchange.onnx_import",
    "load_data": "bitmixer.data",
    "load_network": "bitmixer.networks",
    "save_network": "bitmixer.networks.saving",
}

__all__ = [
    "BitAssignment",
    "BitWidths",
    "ImageSet",
    "LayerGraph",
    "StepwiseRun",
    "Training",
    "capture",
    "convert",
    "export_qonnx",
    "fit",
    "from_onnx",
    "graph_from_onnx",
    "load_data",
    "load_network",
    "save_network",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bitmixer' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
