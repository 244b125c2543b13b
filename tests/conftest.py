"""What the machine or the shell that starts the tests must not decide."""

from __future__ import annotations

import signal

from hypothesis import settings

# No test is timed: hypothesis' deadlines would fail on a busy machine.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A job that a script puts into the background ignores interrupts, and so would the commands that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
