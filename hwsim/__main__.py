"""``python -m hwsim``."""

from hwsim.cli import main

main()
