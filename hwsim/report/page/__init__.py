"""``report.html`` and ``comparison.html``: one file each that tells a run or a comparison, opens offline and prints."""

from hwsim.report.page.comparing import COMPARISON_FILE, write_comparison_page
from hwsim.report.page.writing import FILE, write_page

__all__ = ["COMPARISON_FILE", "FILE", "write_comparison_page", "write_page"]
