"""Controllers by name; each is one file with its options as a model."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from bitmixer.documents.source import parse
from bitmixer.errors import did_you_mean
from hwsim.controllers import plug_ins
from hwsim.controllers.bandit import (
    EpsilonGreedy,
    EpsilonGreedyOptions,
    LinUcb,
    LinUcbOptions,
    LinUcbProbe,
    LinUcbProbeOptions,
    Thompson,
    ThompsonOptions,
)
from hwsim.controllers.bandwidth_greedy import BandwidthGreedy, BandwidthGreedyOptions
from hwsim.controllers.base import Controller
from hwsim.controllers.confidence_gated import ConfidenceGated, ConfidenceGatedOptions
from hwsim.controllers.deadline_greedy import DeadlineGreedy, DeadlineGreedyOptions
from hwsim.controllers.emergency import Emergency, EmergencyOptions
from hwsim.controllers.hysteresis import Hysteresis, HysteresisOptions
from hwsim.controllers.ids import Ids, IdsOptions
from hwsim.controllers.mpc import Mpc, MpcOptions
from hwsim.controllers.pid import Pid, PidOptions
from hwsim.controllers.power_allocator import PowerAllocatorOptions, PowerAllocatorRule
from hwsim.controllers.q_learning import QLearning, QLearningOptions
from hwsim.controllers.schedutil import Schedutil, SchedutilOptions
from hwsim.controllers.static import Static, StaticOptions
from hwsim.controllers.step_wise import StepWiseOptions, StepWiseRule
from hwsim.errors import ConfigurationError, ControllerError


class Registered(NamedTuple):
    """A controller and the model of its options."""

    build: Any
    options: Any
    summary: str


CONTROLLERS = {
    "static": Registered(Static, StaticOptions, "one width, or one per layer, for the whole run"),
    "hysteresis": Registered(Hysteresis, HysteresisOptions, "fewer bits when hot or behind, more when cool and idle"),
    "emergency": Registered(Emergency, EmergencyOptions, "the fewest bits while the battery is low, else the most"),
    "pid": Registered(Pid, PidOptions, "a PID controller on the die's temperature moves along the ladder of bits"),
    "step_wise": Registered(
        StepWiseRule, StepWiseOptions, "Linux' thermal governor step_wise, on bits, then the clock"
    ),
    "power_allocator": Registered(
        PowerAllocatorRule, PowerAllocatorOptions, "Linux' power_allocator: the best bits and clock within its budget"
    ),
    "schedutil": Registered(Schedutil, SchedutilOptions, "Linux' schedutil: the clock that the load needs, most bits"),
    "deadline_greedy": Registered(
        DeadlineGreedy, DeadlineGreedyOptions, "the most bits with which the frames that wait are on time"
    ),
    "bandwidth_greedy": Registered(
        BandwidthGreedy, BandwidthGreedyOptions, "the same at the bandwidth that others leave, site by site"
    ),
    "confidence_gated": Registered(
        ConfidenceGated, ConfidenceGatedOptions, "few bits first, once more at many where the answer is unsure"
    ),
    "mpc": Registered(Mpc, MpcOptions, "plans ahead with the cost table and the profile's heat"),
    "q_learning": Registered(QLearning, QLearningOptions, "tabular Q-learning on temperature and waiting frames"),
    "linucb": Registered(LinUcb, LinUcbOptions, "a linear bandit with an upper confidence bound"),
    "linucb_probe": Registered(
        LinUcbProbe, LinUcbProbeOptions, "the same, with probes where it is unsure how far answers agree"
    ),
    "ids": Registered(Ids, IdsOptions, "information-directed: probes where what they tell is worth their price"),
    "thompson": Registered(Thompson, ThompsonOptions, "a linear bandit that draws from what it believes"),
    "epsilon_greedy": Registered(EpsilonGreedy, EpsilonGreedyOptions, "a linear bandit that explores at random"),
}


def describe_controllers() -> dict[str, dict[str, Any]]:
    """Return each controller's summary, its options with what they are by default, and what they mean."""
    return {
        name: {
            "summary": registered.summary,
            "options": {option: field.default for option, field in registered.options.model_fields.items()},
            "told": inspect.cleandoc(registered.options.__doc__ or ""),
        }
        for name, registered in CONTROLLERS.items()
    }


def build_controller(name: str, options: Mapping[str, Any]) -> Controller:
    """Return a controller with its options.

    Args:
        name: One of ours, an installed package's (see ``plug_ins``), or ``module:Class``.
        options: Its options.

    Raises:
        ConfigurationError: Unknown name or option, or a value out of range.
        ControllerError: A controller of others cannot be made.
    """
    if ":" in name:
        return plug_ins.build(name, plug_ins.class_at(name), options)
    if name not in CONTROLLERS:
        others = plug_ins.installed()
        if name not in others:
            known = did_you_mean(name, (*CONTROLLERS, *others))
            raise ConfigurationError(f"unknown controller {name!r}: {known}")
        try:
            factory = others[name].load()
        except Exception as error:
            raise ControllerError(f"controller {name}: {others[name].value} cannot be loaded: {error}") from error
        return plug_ins.build(name, factory, options)
    registered = CONTROLLERS[name]
    try:
        controller: Controller = registered.build(registered.options.model_validate(dict(options)))
    except ValidationError as error:
        raise ConfigurationError("\n".join(_problem(name, registered, each) for each in error.errors())) from None
    return controller


def parse_controller(text: str) -> tuple[str, dict[str, Any]]:
    """Read ``NAME`` or ``NAME:option=value:option=value``, where NAME may be ``module:Class``; values are YAML.

    Raises:
        ConfigurationError: A part is not ``option=value``.
        DocumentError: A value is not YAML.
    """
    name, *parts = text.split(":")
    if name not in CONTROLLERS and parts and parts[0].isidentifier():
        name = f"{name}:{parts.pop(0)}"
    options = {}
    for part in parts:
        option, equals, value = part.partition("=")
        if not equals:
            raise ConfigurationError(f"controller {text!r}: expected NAME:option=value, got {part!r}")
        options[option] = parse(value, f"controller {name}: option {option!r}").data
    return name, options


def _problem(name: str, registered: Registered, error: Any) -> str:
    option = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        hint = did_you_mean(option, registered.options.model_fields)
        return f"controller {name}: unknown option {option!r}: {hint}"
    expected = "expected a list, for example [8, 3]" if error["type"] == "tuple_type" else error["msg"]
    return f"controller {name}: option {option!r}: {expected}, got {error['input']!r}"
