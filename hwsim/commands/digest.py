"""``hwsim digest``: a run's records as one number."""

from __future__ import annotations

from bitmixer.command_line import AsJson, print_json
from hwsim.commands.options import Folder


def digest(folder: Folder, as_json: AsJson = False) -> None:
    """Print a hash of a run's records.

    Floats count to 12 digits, so that runs can be compared across machines.

    Examples:
        hwsim digest runs/thermal_throttle-hysteresis-s1
    """
    from hwsim.records.store import digest as digest_run

    digest = digest_run(folder)
    if as_json:
        print_json({"folder": str(folder), "digest": digest})
    else:
        print(digest)
