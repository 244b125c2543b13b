"""What ``hwsim validate`` says of a document."""

from __future__ import annotations

from bitmixer.documents import read_tree
from hwsim.config.array_profile import load_any_profile
from hwsim.config.packaged import find_any
from hwsim.config.provenance import count_assumptions, provenance


def validate_file(name: str) -> str:
    """Check a scenario or a profile with all that it refers to; return one line on what it is.

    A document with ``streams`` is a scenario, one with ``stages`` a training recipe, one with ``trust`` a table of
    energies, any other a profile: an array's, if nothing in it belongs to a device alone.

    Raises:
        DocumentError: It is invalid.
        ConfigurationError: It names what does not exist.
    """
    path = find_any(("scenarios", "profiles", "profiles/arrays", "profiles/energy"), "scenario or profile", name)
    data = read_tree(path).data
    if "stages" in data:
        from bitmixer.training.recipe import load_recipe

        recipe = load_recipe(path)
        return f"{path}: valid recipe {recipe.name}: {recipe.architecture} on {recipe.data}, bits {recipe.bits}"
    if "trust" in data:
        from hwsim.config.energy_tables import load_energy_table

        table = load_energy_table(name)
        return f"{path}: valid energy table {table.name}: {len(table.entries)} entries, trust {table.trust}"
    if "streams" not in data:
        profile = load_any_profile(name)
        numbers, assumed = len(provenance(profile)), count_assumptions(profile)
        return f"{path}: valid profile {profile.name}: {numbers} numbers, {assumed} of them assumed"
    from hwsim.pipeline import plan

    planned = plan(name)
    networks = " and ".join(dict.fromkeys(stream.network for stream in planned.scenario.streams))
    return (
        f"{path}: valid scenario {planned.scenario.name}: {networks} on {planned.profile.name} "
        f"({count_assumptions(planned.profile)} of its numbers assumed), controller {planned.controller}"
    )
