"""How large packed networks are, and whether they answer as the networks that they were packed from."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

SHIPPED = "resnet8_digits_one_bit"


def measured(runs: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """Return sizes in bytes, and how many answers of the whole test set are the same, logits to the bit."""
    from bitmixer.networks.checkpoint import find_checkpoint

    trained = [runs / name for name in names if (runs / name / "checkpoint.json").is_file()]
    return {
        "command": "bitmixer pack NAME --out FILE; docs/results/bcnn.py sizes",
        "networks": {checkpoint.name: _packed(checkpoint) for checkpoint in map(find_checkpoint, (SHIPPED, *trained))},
    }


def _packed(checkpoint: Any) -> dict[str, Any]:
    import torch

    from bitmixer.data import load_data
    from bitmixer.networks.checkpoint import load_network
    from bitmixer.packed.file import load_packed, pack_checkpoint

    network = load_network(checkpoint)
    network.assign(network.uniform(1))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "packed.safetensors"
        pack_checkpoint(checkpoint, file)
        packed, _ = load_packed(file)
        size = file.stat().st_size
    inputs, labels = load_data(checkpoint.metrics["data"])
    same = 0
    with torch.no_grad():
        for batch in torch.split(inputs, 250):
            same += int((network(batch) == packed(batch)).all(dim=1).sum())
    binary = sum(layer.form.kernels.words.nbytes for layer in packed.layers.values())
    parameters = sum(layer.weights for layer in checkpoint.graph.layers)
    return {
        "weights": parameters, "float32_bytes": 4 * parameters,
        "checkpoint_bytes": (checkpoint.path / "weights.safetensors").stat().st_size, "packed_bytes": size,
        "packed_weight_bytes": binary, "inputs": len(labels), "same_logits": same,
    }  # fmt: skip


def part(found: dict[str, Any]) -> str:
    """Return the section of the page."""
    lines = [
        "## Packed",
        "",
        (
            "Files that `bitmixer pack` writes, which load and run without the float weights, and for how many inputs of the whole "
            "test set they give the same logits, to the bit. The checkpoint holds what training needs, norms of all transitions too."
        ),
        "",
        "| network | weights | as float32, bytes | checkpoint, bytes | packed, bytes | of that packed weights | same logits |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| `{name}` | {row['weights']:,} | {row['float32_bytes']:,} | {row['checkpoint_bytes']:,} | {row['packed_bytes']:,} "
        f"| {row['packed_weight_bytes']:,} | {row['same_logits']:,} of {row['inputs']:,} |"
        for name, row in found["networks"].items()
    ]
    return "\n".join(lines)
