"""Bit assignments on disk: JSON, site -> [weight bits, activation bits]. Plain data: no torch here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from bitmixer.bitwidths import BitAssignment, BitWidths, SiteLike, require_allowed, require_known
from bitmixer.documents import parse, read_text, shown
from bitmixer.errors import BitmixerError, DocumentError


def save_assignment(path: Path, assignment: Mapping[str, BitWidths]) -> Path:
    """Write an assignment, one line per site."""
    lines = ",\n".join(f" {json.dumps(site)}: {json.dumps(list(widths))}" for site, widths in assignment.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
    return path


def load_assignment(path: Path, sites: Sequence[SiteLike]) -> BitAssignment:
    """Read an assignment of all sites of a network.

    Raises:
        DocumentError: Unreadable, not JSON, a site that the network has not or that has no widths, or widths that it
            does not allow; the message names file, line and column.
    """
    tree = parse(read_text(path), str(path))
    if not isinstance(tree.data, dict):
        raise DocumentError(f"{path}:1:1: expected {{site: [weight bits, activation bits]}}; got {shown(tree.data)}")
    known = {site.name: site for site in sites}
    for name, pair in tree.data.items():
        try:
            require_allowed(require_known(name, known), BitAssignment.from_dict({name: pair})[name])
        except BitmixerError as error:
            raise DocumentError(f"{tree.place((name,), of_key=name not in known)}: {error}") from None
    try:
        return BitAssignment.from_dict(tree.data).checked(sites)
    except BitmixerError as error:
        raise DocumentError(f"{path}: {error}") from None
