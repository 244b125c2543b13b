"""``timeline.pftrace``: a run as Perfetto shows it, drawn from its records alone."""

from hwsim.report.timeline.drawing import FILE, write_timeline

__all__ = ["FILE", "write_timeline"]
