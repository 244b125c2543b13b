"""Progress on stderr: a bar on a terminal, a line per step elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_on_stderr(
    total: int | None, *, quiet: bool, only_bar: bool = False
) -> Iterator[Callable[[int, str], None]]:
    """Yield a function (steps done, what was done): a bar on a terminal, else a line per step.

    Args:
        total: Number of steps; ``None`` if nobody knows.
        quiet: Show nothing.
        only_bar: Show nothing where there is no terminal.
    """
    terminal = sys.stderr.isatty()
    if quiet or (only_bar and not terminal):
        yield lambda done, step: None
    elif not terminal:
        yield lambda done, step: print(step, file=sys.stderr, flush=True)
    else:
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("starting", total=total)
            yield lambda done, step: bar.update(task, description=escape(step), completed=done)
