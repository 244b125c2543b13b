"""Tables of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def print_accuracy(measured: dict[str, Any], *, is_fixed: bool) -> None:
    """Print what :meth:`bitmixer.evaluation.Evaluation.as_dict` returned.

    Args:
        measured: The accuracies.
        is_fixed: Whether every layer has one pair of widths, of which ``uniform`` then names the most frequent.
    """
    rows = [
        ("its own, layer by layer" if is_fixed else f"uniform {bits} bit", f"{accuracy:.2%}")
        for bits, accuracy in measured["uniform"].items()
    ]
    random = measured["random"]
    if random["count"]:
        rows.append((f"random, mean of {random['count']}", f"{random['mean']:.2%} ± {random['std']:.2%}"))
        rows.append(("random, lowest", f"{random['min']:.2%}"))
    if "assignment" in measured:
        rows.append(("the assignment", f"{measured['assignment']:.2%}"))
    print_table(
        f"{measured['network']} on {measured['inputs']} inputs of {measured['data']}",
        ("widths", "accuracy"),
        rows,
    )


def print_found(found: dict[str, Any]) -> None:
    """Print the assignments that a search found under its budget."""
    budget, random = found["budget"], found["random"]
    rows = [
        (row["method"], f"{row['cost']:.6g}", f"{row['loss']:.4f}", f"{row['accuracy']:.2%}")
        for row in found["found"]
        if row["method"] != "random"
    ]
    if random is not None:
        cost, loss, accuracy = (random[what] for what in ("cost", "loss", "accuracy"))
        rows.append((
            f"random, mean of {cost['count']}", f"{cost['mean']:.6g}", f"{loss['mean']:.4f} ± {loss['std']:.4f}",
            f"{accuracy['mean']:.2%} ± {accuracy['std']:.2%}",
        ))  # fmt: skip
    title = f"{found['network']} on {found['inputs']} inputs of {found['data']}, {budget['kind']}<={budget['limit']:g}"
    print_table(title, ("widths", budget["kind"], "loss", "accuracy"), rows)


def print_table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows under their columns' names."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    Console().print(table, markup=False)
