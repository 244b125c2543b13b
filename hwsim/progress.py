"""How far long work is, on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(*, quiet: bool, estimates: bool = True) -> Iterator[Callable[[str, float], None]]:
    """Yield a function (stage, share done) that draws a bar on stderr, if that is a terminal.

    Args:
        quiet: Draw none.
        estimates: Say how long it will take; stages of many runs say so themselves.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda stage, share: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress, TimeRemainingColumn

    columns = [
        each for each in Progress.get_default_columns() if estimates or not isinstance(each, TimeRemainingColumn)
    ]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda stage, share: bar.update(task, description=escape(stage), completed=share)
