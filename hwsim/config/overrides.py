"""``--set path=value``: changes to a scenario or, where the path begins with ``profile.``, its profile."""

from __future__ import annotations

from collections.abc import Sequence

from bitmixer.documents.source import Override, parse
from hwsim.errors import ConfigurationError

PROFILE_PREFIX = "profile."
"""What a path begins with that leads into the profile."""


def parse_set(item: str, *, option: str = "--set", example: str = "streams.0.deadline='50 ms'") -> Override:
    """Return what one ``path=value`` says; the value is YAML.

    Args:
        item: What the user wrote.
        option: Behind which option, for error messages.
        example: What could have been written.

    Raises:
        ConfigurationError: No path, no ``=``, or a value that is not YAML.
    """
    path, equals, text = item.partition("=")
    path = path.strip()
    if not equals or not all(path.split(".")):
        raise ConfigurationError(f"{option} {item}: expected PATH=VALUE, for example {option} {example}")
    place = f"{option} {path}"
    return Override(path, parse(text, place).data, place)


def split_sets(sets: Sequence[str]) -> tuple[list[Override], list[Override]]:
    """Return the overrides of the scenario and, without their ``profile.``, those of its profile.

    Raises:
        ConfigurationError: An item is not ``path=value``.
    """
    overrides = [parse_set(item) for item in sets]
    for_scenario = [override for override in overrides if not override.path.startswith(PROFILE_PREFIX)]
    for_profile = [
        Override(override.path.removeprefix(PROFILE_PREFIX), override.value, override.place)
        for override in overrides
        if override.path.startswith(PROFILE_PREFIX)
    ]
    return for_scenario, for_profile
