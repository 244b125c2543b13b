"""Where the numbers of a profile come from, one row each."""

from __future__ import annotations

from dataclasses import dataclass

from hwsim.config.array_profile import ArrayProfile
from hwsim.config.profile import DeviceProfile
from hwsim.config.quantity import quantities


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where one number of a profile comes from; the texts are as the file writes them.

    Attributes:
        scaled: An energy at the profile's process, where it was given for another; else empty.
    """

    path: str
    value: str
    range: str
    source: str | None
    assumption: str | None
    scaled: str = ""


def provenance(profile: DeviceProfile | ArrayProfile) -> tuple[Provenance, ...]:
    """Return one row per number of the profile, in its order."""
    joules = profile.joules()
    scaled = {f"energy.{name}": joules[name] for name, entry in profile.energy.items() if entry.scaled_from}
    return tuple(
        Provenance(
            path=path,
            value=number.text,
            range=number.range_text,
            source=number.source,
            assumption=number.assumption,
            scaled=f"{scaled[path] * 1e12:.4g} pJ" if path in scaled else "",
        )
        for path, number in quantities(profile)
    )


def count_assumptions(profile: DeviceProfile | ArrayProfile) -> int:
    """Return how many of the profile's numbers are assumed."""
    return sum(number.assumption is not None for _, number in quantities(profile))
