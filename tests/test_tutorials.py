"""The tutorials still print what their pages say."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from hwsim.testing import ControllerConformance

TUTORIALS = Path(__file__).parent.parent / "docs" / "tutorials"
NUMBER = re.compile(r"(?<![\w.])[+-]?\d[\d,]*\.?\d*(?:e[+-]?\d+)?")
TOLERANCE = 0.03
"""Of a printed number: machines may differ in the last bits of what a network was trained to."""


def module(name: str) -> Any:
    specification = importlib.util.spec_from_file_location(name, TUTORIALS / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    loaded = importlib.util.module_from_spec(specification)
    sys.modules[name] = loaded  # dataclasses look up their module
    specification.loader.exec_module(loaded)
    return loaded


RECORD = module("record")


@pytest.mark.parametrize("name", RECORD.TUTORIALS)
def test_a_tutorial_prints_what_is_recorded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "cache"))
    now, recorded = RECORD.record(name), (TUTORIALS / f"{name}.md").read_text(encoding="utf-8")
    outdated = f"python docs/tutorials/record.py {name}"
    assert NUMBER.sub("#", now) == NUMBER.sub("#", recorded), outdated
    assert numbers(now) == pytest.approx(numbers(recorded), rel=TOLERANCE, abs=1e-3), outdated


def numbers(text: str) -> list[float]:
    return [float(number.replace(",", "").rstrip(".")) for number in NUMBER.findall(text)]


def test_every_tutorial_is_recorded() -> None:
    files = {path.stem for path in TUTORIALS.glob("*.py") if "# %%" in path.read_text(encoding="utf-8")} - {"record"}
    assert files == set(RECORD.TUTORIALS) == {path.stem for path in TUTORIALS.glob("*.md")} - {"index"}


class TestCalm(ControllerConformance):
    def make(self) -> Any:
        return module("calm").Calm()
