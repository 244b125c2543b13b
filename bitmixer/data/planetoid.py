"""Cora and Citeseer: citation graphs with the fixed split of Planetoid.

Source: Yang, Cohen and Salakhutdinov, "Revisiting Semi-Supervised Learning with Graph Embeddings", ICML 2016; graphs of
Sen et al., "Collective Classification in Network Data", 2008. Never shipped: read from the user's data folder, in the
form of one archive of plain arrays per graph. Archives that would execute code when read are refused.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch

from bitmixer.data_folder import current_data_root
from bitmixer.errors import DataError, did_you_mean
from bitmixer.graphs.node_graph import NodeGraph

PLANETOID = ("citeseer", "cora")
REPOSITORY = "https://github.com/kimiyoung/planetoid"
_ARRAYS = ("data", "indices", "indptr", "shape", "edge_index", "y", "train_mask", "val_mask", "test_mask")


def load_planetoid(name: str) -> NodeGraph:
    """Return a citation graph: words that a paper contains (0 or 1), citations in both directions, subjects.

    Raises:
        DataError: The graph is unknown, missing or damaged.
    """
    if name not in PLANETOID:
        raise DataError(f"unknown graph {name!r}: {did_you_mean(name, PLANETOID)}")
    path = current_data_root() / "planetoid" / f"{name}.npz"
    if not path.is_file():
        raise DataError(
            f"graph {name!r} does not ship with the package, and {path} is not there: set BITMIXER_DATA to the folder "
            f"above, after making it of data/ind.{name}.* in {REPOSITORY}, with the arrays "
            f"{', '.join(_ARRAYS)} (features in CSR)"
        )
    return _read(path)


def _read(path: Path) -> NodeGraph:
    from scipy import sparse

    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in _ARRAYS}
        words = sparse.csr_matrix(
            (arrays["data"], arrays["indices"], arrays["indptr"]), shape=tuple(arrays["shape"].tolist())
        )
        words.check_format(full_check=True)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: damaged ({error}): make it again") from None
    masks = {key: torch.from_numpy(arrays[key]) for key in ("train_mask", "val_mask", "test_mask")}
    return NodeGraph(
        x=torch.from_numpy(words.toarray().astype(np.float32)),
        edge_index=torch.from_numpy(arrays["edge_index"]),
        y=torch.from_numpy(arrays["y"]),
        **masks,
    )
