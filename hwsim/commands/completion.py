"""What the shell offers for an option or an argument; each imports what it asks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwsim.config.packaged import Kind


def scenarios(incomplete: str) -> list[str]:
    """Return the packaged scenarios whose names start so."""
    from hwsim.config.packaged import packaged_names

    return _starting(incomplete, packaged_names("scenarios"))


def profiles(incomplete: str) -> list[str]:
    """Return the packaged profiles, of devices and of arrays, whose names start so."""
    from hwsim.config.packaged import packaged_names

    return _starting(incomplete, (*packaged_names("profiles"), *packaged_names("profiles/arrays")))


def documents(incomplete: str) -> list[str]:
    """Return everything packaged that ``hwsim validate`` takes and whose name starts so."""
    from hwsim.config.packaged import packaged_names

    kinds: tuple[Kind, ...] = ("scenarios", "profiles", "profiles/arrays", "profiles/energy")
    return _starting(incomplete, dict.fromkeys(name for kind in kinds for name in packaged_names(kind)))


def kinds_of_documents(incomplete: str) -> list[str]:
    """Return the kinds of documents that have a schema and whose names start so."""
    from hwsim.config.schema import DOCUMENTS

    return _starting(incomplete, DOCUMENTS)


def controllers(incomplete: str) -> list[tuple[str, str]]:
    """Return the controllers whose names start so, and what they do; behind a comma, the next one of a list."""
    from hwsim.controllers import CONTROLLERS

    before, comma, last = incomplete.rpartition(",")
    return [
        (f"{before}{comma}{name}", registered.summary)
        for name, registered in CONTROLLERS.items()
        if name.startswith(last)
    ]


def arrays(incomplete: str) -> list[str]:
    """Return the array models whose names start so."""
    from hwsim.cost.arrays import ARRAYS

    return _starting(incomplete, ARRAYS)


def networks(incomplete: str) -> list[str]:
    """Return the shipped checkpoints whose names start so."""
    from bitmixer.networks import shipped_checkpoints

    return _starting(incomplete, shipped_checkpoints())


def data_sets(incomplete: str) -> list[str]:
    """Return the data sets whose names start so."""
    from bitmixer.data import DATA_SETS

    return _starting(incomplete, DATA_SETS)


def metrics(incomplete: str) -> list[tuple[str, str]]:
    """Return the metrics whose names start so, as the start of a limit, and what they are."""
    from hwsim.report.terminal import SECTIONS

    known = {name: told for section in SECTIONS.values() for name, (told, _) in section.items()}
    return [(f"{name}{sign}", told) for name, told in known.items() if name.startswith(incomplete) for sign in "<>"]


def settings(incomplete: str) -> list[str]:
    """Return the keys of a scenario that start so, as the start of ``--set``."""
    from hwsim.config.scenario import Scenario

    keys = (field.alias or key for key, field in Scenario.model_fields.items())
    return _starting(incomplete, [*(f"{key}=" for key in keys), "profile."])


def executors(incomplete: str) -> list[str]:
    """Return who can carry out runs, of those whose names start so."""
    from hwsim.sweeps.executors import EXECUTORS

    return _starting(incomplete, EXECUTORS)


def _starting(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
