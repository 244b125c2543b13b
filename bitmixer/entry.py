"""How both packages' command lines start."""

from __future__ import annotations

import importlib
import sys


def start(module: str) -> None:
    """Import a module and run its ``main``; an interrupt, even while it is imported, is one line and exit code 130.

    Args:
        module: Dotted name, imported only here, so that the interrupt is caught from the first moment.
    """
    try:
        importlib.import_module(module).main()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
