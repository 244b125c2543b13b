"""``python -m hwsim``, and the command ``hwsim``."""

import sys


def main() -> None:
    """Run the command line; an interrupt, even while modules are loaded, is one line and exit code 130."""
    try:
        from hwsim.cli import main as run

        run()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
