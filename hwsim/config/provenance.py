"""Where the numbers of a profile come from, one row each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hwsim.config.array_profile import ArrayProfile
from hwsim.config.hotspot_files import HotSpotFile
from hwsim.config.input_file import input_files
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
    written = tuple(
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
    return (*written, *_of_files(profile))


def count_assumptions(profile: DeviceProfile | ArrayProfile) -> int:
    """Return how many of the profile's numbers are assumed."""
    return sum(row.assumption is not None for row in provenance(profile))


def _of_files(profile: DeviceProfile | ArrayProfile) -> Iterator[Provenance]:
    for key, file in input_files(profile):
        if not isinstance(file, HotSpotFile):
            continue
        for name, value in file.numbers().items():
            source = file.published.get(name)
            yield Provenance(
                path=".".join((*map(str, key), name)),
                value=value,
                range="" if source or file.range is None else f"x {file.range[0]:g} to {file.range[1]:g}",
                source=source,
                assumption=None if source else file.assumption,
            )
