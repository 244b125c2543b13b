"""``bitmixer list``: which networks there are."""

from __future__ import annotations

from typing import Any

from bitmixer.command_line import AsJson, print_json
from bitmixer.tables import print_table


def list_networks(as_json: AsJson = False) -> None:
    """List the architectures and the shipped checkpoints.

    Examples:
        bitmixer list
        bitmixer list --json
    """
    from bitmixer.networks import ARCHITECTURES, find_checkpoint, shipped_checkpoints

    architectures: list[dict[str, Any]] = [
        {
            "name": name, "width": form.width, "input_shape": list(form.input_shape), "classes": form.classes,
            "parameters": form.parameters, "macs": form.macs,
        }
        for name, form in ARCHITECTURES.items()
    ]  # fmt: skip
    checkpoints: list[dict[str, Any]] = []
    for name in shipped_checkpoints():
        checkpoint = find_checkpoint(name)
        measured = checkpoint.metrics or {}
        checkpoints.append({
            "name": name, "network": checkpoint.graph.network, "bits": list(checkpoint.graph.uniform_bits),
            "data": measured.get("data"), "inputs": measured.get("inputs"),
            "uniform": measured.get("uniform"), "random": measured.get("random"),
        })  # fmt: skip
    if as_json:
        print_json({"architectures": architectures, "checkpoints": checkpoints})
        return
    print_table("Architectures", ("name", "width", "input", "classes", "parameters", "MACs"), [
        (
            row["name"], str(row["width"]), "x".join(map(str, row["input_shape"])), str(row["classes"]),
            f"{row['parameters']:,}", f"{row['macs']:,}",
        )
        for row in architectures
    ])  # fmt: skip
    print_table("Checkpoints", ("name", "data", "bits", "accuracy"), [
        (row["name"], row["data"] or "-", ", ".join(map(str, row["bits"])), _accuracies(row["uniform"]))
        for row in checkpoints
    ])  # fmt: skip


def _accuracies(uniform: dict[str, float] | None) -> str:
    if uniform is None:
        return "no weights"
    return ", ".join(f"{accuracy:.1%} at {bits}" for bits, accuracy in uniform.items())
