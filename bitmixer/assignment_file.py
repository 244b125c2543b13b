"""Bit assignments on disk: JSON, site -> [weight bits, activation bits]. Plain data: no torch here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
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


def load_assignment(path: Path, sites: Sequence[SiteLike], *, network: str = "this network") -> BitAssignment:
    """Read an assignment of all sites of a network.

    Args:
        path: The file.
        sites: The network's sites.
        network: The network's name, for errors.

    Raises:
        DocumentError: Unreadable, not JSON, a site that the network has not or that has no widths, or widths that it
            does not allow; the message names file, line and column.
    """
    tree = parse(read_text(path), str(path))
    if not isinstance(tree.data, dict):
        raise DocumentError(f"{path}:1:1: expected {{site: [weight bits, activation bits]}}; got {shown(tree.data)}")
    known = {site.name: site for site in sites}
    if tree.data.keys() != known.keys() and (other := _networks_of(tree.data.keys())):
        raise DocumentError(f"{path}: is an assignment for {other}, not for {network}: its sites are others")
    for name, pair in tree.data.items():
        try:
            require_allowed(require_known(name, known), BitAssignment.from_dict({name: pair})[name])
        except BitmixerError as error:
            raise DocumentError(f"{tree.place((name,), of_key=name not in known)}: {error}") from None
    try:
        return BitAssignment.from_dict(tree.data).checked(sites)
    except BitmixerError as error:
        raise DocumentError(f"{path}: {error}") from None


def _networks_of(sites: Set[str]) -> str:
    """Return the names of the shipped networks that have exactly these sites."""
    from bitmixer.networks.checkpoint import find_checkpoint, shipped_checkpoints

    graphs = [find_checkpoint(name).graph for name in shipped_checkpoints()]
    return " or ".join(graph.network for graph in graphs if {layer.name for layer in graph.layers} == sites)
