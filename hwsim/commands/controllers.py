"""``hwsim controllers``: who can steer."""

from __future__ import annotations


def controllers() -> None:
    """List the controllers and their options."""
    from hwsim.report.terminal import print_controllers

    print_controllers()
