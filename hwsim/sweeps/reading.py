"""What a sweep varies and is judged by, read and checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bitmixer.documents.source import Tree, read_tree, replace, validate
from bitmixer.errors import BitmixerError, did_you_mean
from hwsim import pipeline
from hwsim.config.overrides import parse_set, split_sets
from hwsim.config.packaged import find
from hwsim.config.scenario import Scenario
from hwsim.config.sweep import Direction, Sweep
from hwsim.errors import ConfigurationError, HwsimError
from hwsim.report.metric_texts import known_metrics
from hwsim.sweeps.points import checks


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPlan:
    """A sweep that has been read and checked.

    Attributes:
        name: Name of the scenario.
        scenario: Name, or path from wherever, as a run takes it.
        sets: ``path=value`` changes of all runs.
        sweep: What is varied.
        objectives: Metric -> whether less or more of it is better.
        first_seed: Of the first replication.
    """

    name: str
    scenario: str
    sets: tuple[str, ...]
    sweep: Sweep
    objectives: Mapping[str, Direction]
    first_seed: int

    @property
    def seeds(self) -> range:
        """Of the replications of each point."""
        return range(self.first_seed, self.first_seed + self.sweep.replications)


def read_sweep(scenario: str, *, sets: Sequence[str] = (), vary: Sequence[str] = ()) -> SweepPlan:
    """Read the sweep of a scenario and try out every value that it names.

    Args:
        scenario: Packaged name or path.
        sets: ``path=value`` changes of all runs.
        vary: ``path=values`` beside or instead of the scenario's parameters; a list, or a range.

    Raises:
        DocumentError: A document is invalid.
        ConfigurationError: Nothing is varied, a value is not allowed, or a metric does not exist; a line per problem.
    """
    path = find("scenarios", scenario)
    tree = read_tree(path)
    for override in split_sets(sets)[0]:
        replace(tree, override)
    for item in vary:
        _vary(tree, item)
    read = validate(tree, Scenario)
    sweep = read.sweep
    if sweep is None or not sweep.parameters:
        raise ConfigurationError(
            f"{tree.place(('sweep',))}: varies nothing: give it sweep: {{parameters: ..}}, or the command "
            "--vary streams.0.inputs_per_frame=[20,28]"
        )
    _check_objectives(tree, read, sweep)
    of_runs = tuple(item for item in sets if not item.strip().startswith("sweep."))
    _check_values(tree, scenario, of_runs, sweep)
    return SweepPlan(
        name=read.name, scenario=str(path.resolve()), sets=of_runs, sweep=sweep, first_seed=read.seed,
        objectives=sweep.objectives or _usual_objectives(read),
    )  # fmt: skip


def _vary(tree: Tree, item: str) -> None:
    """Put what one ``--vary`` says among the parameters; paths are keys there, dots and all."""
    override = parse_set(item, option="--vary", example="streams.0.inputs_per_frame=[20,28]")
    place: dict[str, object] = tree.data
    for key in ("sweep", "parameters"):
        inner = place.setdefault(key, {})
        if not isinstance(inner, dict):
            return  # not a mapping, as validation will say
        place = inner
    place[override.path] = override.value
    for places in (tree.places, tree.key_places):
        places["sweep", "parameters", override.path] = override.place


def _usual_objectives(scenario: Scenario) -> dict[str, Direction]:
    if scenario.outputs == "none":
        return {"energy_per_input_joules": "minimise", "deadline_miss_rate": "minimise"}
    return {"energy_per_input_joules": "minimise", "correct_on_time_rate": "maximise"}


def _check_objectives(tree: Tree, scenario: Scenario, sweep: Sweep) -> None:
    known = known_metrics()
    streams = [stream.name for stream in scenario.streams] if len(scenario.streams) > 1 else []
    known += [f"{stream}.{metric}" for stream in streams for metric in known]
    for metric in sweep.objectives:
        if metric not in known:
            place = tree.place(("sweep", "objectives", metric), of_key=True)
            hint = did_you_mean(metric, known)
            raise ConfigurationError(f"{place}: sweep.objectives: unknown metric {metric!r}: {hint}")


def _check_values(tree: Tree, scenario: str, sets: Sequence[str], sweep: Sweep) -> None:
    """Plan a run with every value of a list and both ends of every range.

    Raises:
        ConfigurationError: One of them is refused.
    """
    refused: dict[str, None] = {}
    for path, _, point in checks(sweep):
        try:
            pipeline.plan(scenario, sets=[*sets, *point.sets])
        except (HwsimError, BitmixerError) as error:
            place = tree.place(("sweep", "parameters", path))
            of_others = tuple(f"--set {other}: " for other in sweep.parameters if other != path)
            for line in str(error).splitlines():
                if not line.startswith(of_others):  # they are told at their own place
                    refused[f"{place}: sweep.parameters: {line.removeprefix(f'--set {path}: ')}"] = None
    if refused:
        raise ConfigurationError("\n".join(refused))
