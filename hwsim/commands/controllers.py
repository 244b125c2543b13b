"""``hwsim controllers``: who can steer."""

from __future__ import annotations

from bitmixer.command_line import AsJson, print_json


def controllers(as_json: AsJson = False) -> None:
    """List the controllers and their options.

    Examples:
        hwsim controllers
        hwsim controllers --json
    """
    from hwsim.controllers import describe_controllers
    from hwsim.report.terminal import print_controllers

    known = describe_controllers()
    if as_json:
        print_json(known)
    else:
        print_controllers(known)
