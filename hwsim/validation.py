"""What ``hwsim validate`` says of a document."""

from __future__ import annotations

from pathlib import Path

from bitmixer.documents import read_tree
from bitmixer.errors import did_you_mean
from hwsim.config.packaged import find, packaged_names
from hwsim.config.profile import count_assumptions, load_profile, provenance
from hwsim.errors import ConfigurationError


def validate_file(name: str) -> str:
    """Check a scenario or a profile with all that it refers to; return one line on what it is.

    A document with ``streams`` is a scenario, one with ``stages`` a training recipe, any other a profile.

    Raises:
        DocumentError: It is invalid.
        ConfigurationError: It names what does not exist.
    """
    path = _find(name)
    data = read_tree(path).data
    if "stages" in data:
        from bitmixer.training.recipe import load_recipe

        recipe = load_recipe(path)
        return f"{path}: valid recipe {recipe.name}: {recipe.architecture} on {recipe.data}, bits {recipe.bits}"
    if "streams" not in data:
        profile = load_profile(name)
        numbers, assumed = len(provenance(profile)), count_assumptions(profile)
        return f"{path}: valid profile {profile.name}: {numbers} numbers, {assumed} of them assumed"
    from hwsim.pipeline import plan

    planned = plan(name)
    stream = planned.scenario.streams[0]
    return (
        f"{path}: valid scenario {planned.scenario.name}: {stream.network} on {planned.profile.name} "
        f"({count_assumptions(planned.profile)} of its numbers assumed), controller {planned.controller}"
    )


def _find(name: str) -> Path:
    """Return the file of a packaged scenario or profile, or the path itself."""
    scenarios, profiles = packaged_names("scenarios"), packaged_names("profiles")
    if name in scenarios:
        return find("scenarios", name)
    try:
        return find("profiles", name)
    except ConfigurationError:
        if Path(name).suffix or len(Path(name).parts) > 1:
            raise
        hint = did_you_mean(name, [*scenarios, *profiles])
        raise ConfigurationError(
            f"no packaged scenario or profile {name!r}: {hint}; or give the path of a YAML file"
        ) from None
