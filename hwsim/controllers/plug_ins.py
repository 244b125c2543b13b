"""Controllers of others: installed ones by their entry point, and classes by ``module:Class``.

An installed package offers a controller as an entry point of the group ``hwsim.controllers``:

    [project.entry-points."hwsim.controllers"]
    calm = "calm_package:Calm"

Its options are the keyword arguments of the class.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from bitmixer.errors import did_you_mean
from hwsim.controllers.base import Controller
from hwsim.errors import ConfigurationError, ControllerError

GROUP = "hwsim.controllers"


def installed() -> dict[str, EntryPoint]:
    """Return the entry points of installed packages, by name."""
    return {point.name: point for point in entry_points(group=GROUP)}


def class_at(place: str) -> Any:
    """Return the class that ``module:Class`` names.

    Raises:
        ConfigurationError: There is no such module, or no such class in it.
    """
    module_name, _, class_name = place.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigurationError(f"controller {place!r}: module {module_name} cannot be imported: {error}") from None
    if not hasattr(module, class_name):
        classes = [name for name, value in vars(module).items() if inspect.isclass(value)]
        raise ConfigurationError(
            f"controller {place!r}: no {class_name!r} in {module_name}: {did_you_mean(class_name, classes)}"
        )
    return getattr(module, class_name)


def build(name: str, factory: Any, options: Mapping[str, Any]) -> Controller:
    """Return a controller of a class, given its options as keyword arguments.

    Args:
        name: What users call it.
        factory: The class.
        options: By name.

    Raises:
        ConfigurationError: It has no such option, or lacks one.
        ControllerError: It cannot be made, or is no controller.
    """
    if not callable(factory):
        raise ControllerError(f"controller {name}: is {factory!r}; expected a class")
    _check_options(name, factory, options)
    try:
        controller = factory(**options)
    except Exception as error:
        raise ControllerError(f"controller {name}: raised {type(error).__name__}: {error}") from error
    if not isinstance(controller, Controller):
        expected = ("wakes_on", "tick_picoseconds", "needs_outputs", "init", "decide")
        missing = ", ".join(each for each in expected if not hasattr(controller, each))
        raise ControllerError(f"controller {name}: has no {missing}; see hwsim.controllers.base.Controller")
    return controller


def _check_options(name: str, factory: Any, options: Mapping[str, Any]) -> None:
    """Refuse options that a class does not take, and lacking ones."""
    try:
        signature = inspect.signature(factory)
    except ValueError:  # of a compiled class; it says itself what it does not take
        return
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in signature.parameters.values())
    for option in options:
        if not takes_any and option not in signature.parameters:
            hint = did_you_mean(option, signature.parameters)
            raise ConfigurationError(f"controller {name}: unknown option {option!r}: {hint}")
    try:
        signature.bind(**options)
    except TypeError as error:
        raise ConfigurationError(f"controller {name}: {error}") from None
