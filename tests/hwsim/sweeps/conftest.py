"""What tests of sweeps share: a scenario of a few milliseconds with a ``sweep:`` block."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

SWEEP = """
sweep:
  parameters:
    streams.0.inputs_per_frame: {low: 40, high: 120, points: 2}
    controller: [{name: static}, {name: static, options: {bits: 2}}]
"""


@pytest.fixture
def swept(bursty: str, tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes the small scenario with a sweep, and returns its path."""

    def write(sweep: str = SWEEP) -> str:
        path = tmp_path / "swept.yaml"
        text = Path(bursty).read_text(encoding="utf-8").replace("duration: 60 ms", "duration: 12 ms")
        path.write_text(text + sweep, encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders of the runs that were really made in this process."""
    from hwsim import pipeline

    folders: list[str] = []
    original = pipeline.run

    def run(planned: pipeline.Plan, folder: Path, **options: bool) -> dict[str, object]:
        folders.append(folder.name)
        return original(planned, folder, **options)

    monkeypatch.setattr(pipeline, "run", run)
    return folders
