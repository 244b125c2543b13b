"""``report.html``: one file that tells a run, opens offline and prints."""

from hwsim.report.page.writing import FILE, write_page

__all__ = ["FILE", "write_page"]
