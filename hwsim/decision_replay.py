"""Ask a controller again what it was asked in a run, and say whether it decides the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from hwsim.controllers import build_controller, parse_controller
from hwsim.controllers.base import DeviceView
from hwsim.controllers.guard import Guard
from hwsim.errors import ConfigurationError
from hwsim.planning import Plan, answer_limit_seconds, plan
from hwsim.records.observations import Asked, decision_text, read_observations
from hwsim.records.store import RunFolder
from hwsim.setting_up import simulation_setup
from hwsim.simulation.control import device_view
from hwsim.simulation.incoming import source


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferingDecision:
    """The first decision of a stream that does not hold; decisions are JSON, ``None``: nothing changes."""

    stream: str
    time_picoseconds: int
    recorded: str | None
    replayed: str | None

    @property
    def told(self) -> str:
        """What differs, in a line: of many sites the first."""
        if self.recorded is None or self.replayed is None:
            return " and ".join(
                f"{when}: {'no decision' if text is None else json.loads(text)['reason']}"
                for when, text in (("recorded", self.recorded), ("now", self.replayed))
            )
        before, after = json.loads(self.recorded), json.loads(self.replayed)
        sites = [
            site
            for site in {**before["widths"], **after["widths"]}
            if before["widths"].get(site) != after["widths"].get(site)
        ]
        told = [f"widths of {len(sites)} sites, the first {sites[0]}"] if sites else []
        told += [key for key in before if key != "widths" and before[key] != after[key]]
        return f"{', '.join(told)}; recorded: {before['reason']}, now: {after['reason']}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionReplay:
    """What came of it.

    Attributes:
        asked: Questions that were asked again, starts included.
        decided: Those that were answered with a decision.
        differing: The first decision of each stream that does not hold; behind it nothing can be compared.
        failed_picoseconds: Stream -> when its controller failed in the run; it was asked again until then.
    """

    asked: int
    decided: int
    differing: tuple[DifferingDecision, ...]
    failed_picoseconds: dict[str, int]


def replay_decisions(folder: Path, *, controller: str | None = None) -> DecisionReplay:
    """Feed recorded observations to the controllers of a run, built anew, with the same random numbers.

    Args:
        folder: The run's folder.
        controller: Asked instead of the scenario's. A class (``module:Class``) is only loaded if it is named here, so
            that reading a folder runs no code that the folder names.

    Raises:
        RecordsError: The folder is incomplete or damaged.
        ConfigurationError: The controller is a class that is not named again, or does not exist.
        ControllerError: The controller fails where it did not in the run.
    """
    planned = _plan(folder, controller)
    device = device_view(planned.told_device)
    asked = decided = 0
    differing, failed = [], {}
    for at, stream in enumerate(planned.streams):
        answers = _Answers(planned, at, device)
        for each in read_observations(folder, stream.stream.name):
            if each.failed:
                failed[stream.stream.name] = each.time_picoseconds
                break
            replayed = answers.answer(each)
            asked += 1
            decided += replayed is not None
            if replayed != each.decision:
                differing.append(
                    DifferingDecision(
                        stream=stream.stream.name, time_picoseconds=each.time_picoseconds,
                        recorded=each.decision, replayed=replayed,
                    )
                )  # fmt: skip
                break
    return DecisionReplay(asked=asked, decided=decided, differing=tuple(differing), failed_picoseconds=failed)


def _plan(folder: Path, controller: str | None) -> Plan:
    manifest = RunFolder(folder).manifest
    scenario = str(folder / "scenario.yaml")
    ran: str = manifest["scenario"]["controller"]["name"]
    if ":" not in ran:
        return plan(scenario, controller=controller)
    if controller is None:
        raise ConfigurationError(
            f"{folder}: ran under the class {ran}; to run its code, "
            f"name it again: --controller {manifest['controller']}"
        )
    parse_controller(controller)
    # A scenario file may not name a class, the run's copy neither.
    return plan(scenario, controller=controller, sets=["controller.name=static", "controller.options={}"])


class _Answers:
    """A stream's controller, built anew."""

    def __init__(self, planned: Plan, at: int, device: DeviceView) -> None:
        setup = simulation_setup(planned, *[1] * len(planned.streams))
        chosen = planned.streams[at].controller
        self._guard = Guard(
            build_controller(chosen.name, chosen.options), limit_seconds=answer_limit_seconds(chosen)
        )  # fmt: skip
        self._device = device
        self._network = setup.streams[at].view
        self._generator = source(setup.seed, "controller", setup.streams, at)

    def answer(self, asked: Asked) -> str | None:
        """Return what it answers, as JSON."""
        if asked.observation is None:
            decision, self._state = self._guard.init(self._device, self._network)
            return decision_text(decision)
        later, self._state = self._guard.decide(
            asked.observation, self._state, self._generator, self._network.graph
        )  # fmt: skip
        return None if later is None else decision_text(later)
