"""What a run keeps of the documents that it was made from, so that it can be run again as it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bitmixer.documents import KeyPath, Section, read_tree, replace
from bitmixer.documents.source import Override, Tree, written
from hwsim.config.extending import read_extended
from hwsim.config.input_file import COPIES, copies, input_files
from hwsim.config.overrides import split_sets
from hwsim.config.packaged import find
from hwsim.config.profile import DeviceProfile
from hwsim.config.scenario import Controller, Scenario, profile_changes

PROFILE = "profile.yaml"


def rerunnable(
    path: Path, sets: Sequence[str], scenario: Scenario, profile: DeviceProfile, networks: Sequence[str]
) -> dict[str, str]:
    """Return texts by name, of which ``scenario.yaml`` names the others and what the user has besides.

    Whatever was changed on the command line is in them, the profile is whole, without what it extended, and the files
    that either names lie beside them.

    Args:
        path: Where the scenario was read.
        sets: What was changed.
        scenario: The scenario that ran.
        profile: The profile that it ran on.
        networks: Name or path of each stream's network, from wherever.
    """
    for_scenario, for_profile = split_sets(sets)
    tree = _changed(read_tree(path), for_scenario)
    changes = [*profile_changes(tree, scenario), *for_profile]
    device = _changed(read_extended(find("profiles", scenario.profile, beside=path.parent)), changes)
    for told in ("profile_overrides", "sweep"):  # which is in the profile, and of which this run is a part
        tree.data.pop(told, None)
    tree.data |= {"profile": PROFILE, "seed": scenario.seed, "decisions": scenario.decisions}
    tree.data["controller"] |= _decides(scenario.controller)
    for stream, given, network in zip(tree.data["streams"], scenario.streams, networks, strict=True):
        stream["network"], stream["data"] = network, given.data
        for change, placed in zip(stream.get("drift", ()), given.drift, strict=True):
            change["data"] = placed.data
        if given.controller is not None:
            stream["controller"] |= _decides(given.controller)
    return {
        "scenario.yaml": _with_copies(tree, scenario),
        PROFILE: _with_copies(device, profile),
        **copies(scenario),
        **copies(profile),
    }


def _changed(tree: Tree, overrides: Sequence[Override]) -> Tree:
    for override in overrides:
        replace(tree, override)
    return tree


def _decides(controller: Controller) -> dict[str, Any]:
    """Return who decides, with the content of files in its options, as plain data."""
    safe = {} if controller.safe is None else {"safe": controller.safe}
    decides: dict[str, Any] = json.loads(json.dumps({"name": controller.name, "options": controller.options, **safe}))
    return decides


def _with_copies(tree: Tree, section: Section) -> str:
    """Return a document that names the copies of its files."""
    for key, file in input_files(section):
        _at(tree.data, key)["path"] = f"{COPIES}/{Path(file.path).name}"
    return written(tree.data)


def _at(data: Any, key: KeyPath) -> Any:
    for step in key:
        data = data[step]
    return data
