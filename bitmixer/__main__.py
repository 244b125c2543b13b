"""``python -m bitmixer``."""

from bitmixer.cli import main

main()
