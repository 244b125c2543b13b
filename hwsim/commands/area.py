"""``hwsim area``: the gates of an array."""

from __future__ import annotations

from typing import Annotated

import typer

from bitmixer.command_line import AsJson


def area(
    rows: Annotated[int, typer.Option(help="Dm, rows of dot-product units.")],
    depth: Annotated[int, typer.Option(help="Dk, lanes of a unit.")],
    columns: Annotated[int, typer.Option(help="Dn, columns of units.")],
    as_json: AsJson = False,
) -> None:
    """Count the gates of a BISMO array.

    Synthesised by Yosys (extra rtl); the first run takes minutes.

    Examples:
        hwsim area --rows 8 --depth 64 --columns 8
        hwsim area --rows 4 --depth 256 --columns 4 --json
    """
    from hwsim.cost.arrays import Bismo
    from hwsim.rtl.area import estimate_area

    estimate = estimate_area(Bismo(rows=rows, depth=depth, columns=columns))
    print(estimate.to_json() if as_json else estimate.to_text())
