"""``python -m hwsim``, and the command ``hwsim``."""

from bitmixer.entry import start


def main() -> None:
    """Run the command line."""
    start("hwsim.cli")


if __name__ == "__main__":
    main()
