"""A search for the best points, generation by generation (extra ``search``).

Optuna proposes and is told (ask and tell); nothing of it is stored. It proposes the same points under the same seed and
results, so that a search that was interrupted goes on by asking anew, as the runs that it had are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from hwsim.config.sweep import Direction, Nsga2, Parameter
from hwsim.errors import ConfigurationError
from hwsim.sweeps.points import Point, drawn

if TYPE_CHECKING:
    import optuna

Judge = Callable[[Sequence[Point]], Sequence[Sequence[float] | None]]
"""Points -> the values of all objectives of each; nothing where a run failed or has no value."""

_DIRECTIONS: Mapping[Direction, Literal["minimize", "maximize"]] = {"minimise": "minimize", "maximise": "maximize"}


def search(parameters: Mapping[str, Parameter], directions: Sequence[Direction], method: Nsga2, judge: Judge) -> None:
    """Let NSGA-II try points; those of a generation are judged together.

    Raises:
        ConfigurationError: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise ConfigurationError(
            "sweep.method: nsga2 is Optuna's, which is not installed: pip install 'bitmixer-hwsim[search]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(population_size=method.population, seed=method.seed)
    study = optuna.create_study(directions=[_DIRECTIONS[each] for each in directions], sampler=sampler)
    for first in range(0, method.trials, method.population):
        trials = [study.ask() for _ in range(min(method.population, method.trials - first))]
        judged = judge([_point(trial, parameters) for trial in trials])
        for trial, values in zip(trials, judged, strict=True):
            if values is None:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                study.tell(trial, values)


def _point(trial: optuna.Trial, parameters: Mapping[str, Parameter]) -> Point:
    """Return what a trial proposes: one of a list's values, or a share of a range."""
    return Point(
        {
            path: parameter.values[trial.suggest_categorical(path, range(len(parameter.values)))]
            if parameter.values
            else drawn(parameter, trial.suggest_float(path, 0.0, 1.0))
            for path, parameter in parameters.items()
        }
    )
