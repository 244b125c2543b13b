"""Every controller that comes along passes the suite that users' controllers inherit, and the suite finds faults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hwsim.controllers import CONTROLLERS, build_controller
from hwsim.controllers.base import Controller
from hwsim.testing import ControllerConformance


@pytest.mark.parametrize("name", CONTROLLERS)
class TestOurs(ControllerConformance):
    """The registered controllers with their default options."""

    @pytest.fixture(autouse=True)
    def _name(self, name: str) -> None:
        self.name = name

    def make(self) -> Controller:
        return build_controller(self.name, {})


DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = re.findall(r"```python\n(.*?)```", (DOCS / "controllers.md").read_text(encoding="utf-8"), re.DOTALL)


class TestTheDocumentedOne(ControllerConformance):
    """The controller that docs/controllers.md shows, which takes less than 30 lines."""

    def make(self) -> Controller:
        names: dict[str, Any] = {}
        exec(EXAMPLES[0], names)
        assert len(EXAMPLES[0].splitlines()) < 30
        controller: Controller = names["Calm"](hot_celsius=70.0)
        return controller


class _Forgetful:
    """Remembers in itself what it saw."""

    wakes_on = frozenset({"tick"})
    tick_picoseconds = 10**9
    needs_outputs = False

    def init(self, device: Any, network: Any) -> Any:
        self.network, self.asked = network, 0
        return build_controller("static", {}).init(device, network)

    def decide(self, observation: Any, state: Any, generator: Any) -> Any:
        self.asked += 1
        change = build_controller("static", {"bits": 2 if self.asked % 2 else 8}).init(None, self.network)[0]  # type: ignore[arg-type]
        return change if self.asked % 3 else None, state


class _Suite(ControllerConformance):
    def make(self) -> Controller:
        return _Forgetful()


def test_the_suite_finds_what_is_not_in_the_state() -> None:
    _Suite().test_decides_what_exists_whatever_it_sees()
    with pytest.raises(AssertionError):
        _Suite().test_keeps_all_that_it_remembers_in_its_state()


def test_the_suite_says_what_to_override() -> None:
    with pytest.raises(NotImplementedError, match=r"override make\(\)"):
        ControllerConformance().test_starts_with_possible_widths_for_every_site()
