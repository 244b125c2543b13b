"""``bitmixer download``: data that does not ship with the package."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bitmixer.command_line import AsJson, Quiet, print_json
from bitmixer.commands.options import DataRoot


def download(
    name: Annotated[str, typer.Argument(help="A data set: cifar10.")],
    quiet: Quiet = False,
    as_json: AsJson = False,
    data_root: DataRoot = None,
) -> None:
    """Fetch a data set into the data folder, and check it.

    Examples:
        bitmixer download cifar10
        bitmixer download cifar10 --data-root data
    """
    from bitmixer.data.download import download
    from bitmixer.data_folder import current_data_root

    shown = sys.stderr.isatty() and not (quiet or as_json)
    root = download(name, data_root or current_data_root(), progress=shown)
    if as_json:
        print_json({"data": name, "folder": str(root)})
    elif not quiet:
        print(f"{name} in {root}")
