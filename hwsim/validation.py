"""What ``hwsim validate`` says of a document."""

from __future__ import annotations

from bitmixer.documents import read_tree
from hwsim.config.packaged import find, packaged_names
from hwsim.config.profile import count_assumptions, load_profile, provenance


def validate_file(name: str) -> str:
    """Check a scenario or a profile with all that it refers to; return one line on what it is.

    A document with ``streams`` is a scenario, any other a profile.

    Raises:
        DocumentError: It is invalid.
        ConfigurationError: It names what does not exist.
    """
    kind = "scenarios" if name in packaged_names("scenarios") else "profiles"
    path = find("scenarios" if kind == "scenarios" else "profiles", name)
    data = read_tree(path).data
    if "streams" not in data:
        profile = load_profile(name)
        numbers, assumed = len(provenance(profile)), count_assumptions(profile)
        return f"{path}: valid profile {profile.name}: {numbers} numbers, {assumed} of them assumed"
    from bitmixer.data import DataName
    from hwsim.pipeline import plan

    planned = plan(name)
    stream = planned.scenario.streams[0]
    if stream.data is not None:
        DataName.parse(stream.data)
    return (
        f"{path}: valid scenario {planned.scenario.name}: {stream.network} on {planned.profile.name} "
        f"({count_assumptions(planned.profile)} of its numbers assumed), controller {planned.controller}"
    )
