"""``python -m bitmixer``, and the command ``bitmixer``."""

from bitmixer.entry import start


def main() -> None:
    """Run the command line."""
    start("bitmixer.cli")


if __name__ == "__main__":
    main()
