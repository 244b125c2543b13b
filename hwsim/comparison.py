"""Statistics of several controllers over the same replications: means and 95 % bootstrap intervals.

The bootstrap is the percentile one (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13).
Every controller sees the same resampled replications and inputs, so that their intervals can be compared.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import RecordsError
from hwsim.metrics import Answers, answers
from hwsim.pareto import OBJECTIVES, contributions, front, hypervolumes
from hwsim.records.store import RunFolder
from hwsim.records.streams import streams_of

RESAMPLES = 2000
SEED = 20_240_601
INTERVAL_PERCENTS = (2.5, 97.5)
RESAMPLES_AT_ONCE = 100
"""Bounds the memory that resampled inputs take."""

OF_INPUTS = ("accuracy", "correct_on_time_rate")
"""Metrics that are means over inputs, so that another test set would change them."""

OF_A_STREAM = 1 << 24
"""More inputs than any test set has."""

NOT_COMPARED = ("run_id", "controller", "wall_seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean over replications with the ends of its 95 % interval; all null where a run has no value."""

    mean: float | None
    low: float | None
    high: float | None


NO_VALUE = Interval(mean=None, low=None, high=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pareto:
    """What controllers trade in energy, accuracy and deadlines (``hwsim.pareto``).

    Attributes:
        reference: Metric -> the value that counts for nothing; accuracy only where there are outputs.
        front: Controllers whose means no other controller's beat in all three.
        hypervolume: Share of what lies between the reference and perfection that the controllers cover together.
        contributions: Controller -> what it adds to what the others cover.
    """

    reference: Mapping[str, float]
    front: tuple[str, ...]
    hypervolume: Interval
    contributions: Mapping[str, Interval]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What ``comparison.json`` holds.

    Attributes:
        scenario: Name of the scenario.
        replications: Runs per controller.
        controllers: Controller -> metric -> interval.
        baseline: Controller that the others are compared with, seed by seed and input by input.
        differences: Controller -> metric -> interval of what it has more than the baseline; of all but that.
        pareto: What they trade; none where no controller completed anything.
        runs: Controller -> its runs' folders within that of the comparison, where there is one.
    """

    scenario: str
    replications: int
    controllers: Mapping[str, Mapping[str, Interval]]
    baseline: str | None = None
    differences: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    pareto: Pareto | None = None
    runs: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the text of ``comparison.json``."""
        content = asdict(self)
        if self.baseline is None:
            del content["baseline"], content["differences"]
        content = {key: value for key, value in content.items() if value or key not in ("pareto", "runs")}
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

    def to_csv(self) -> str:
        """Return the text of ``comparison.csv``: one row per controller and metric."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["controller", "metric", "mean", "low", "high"])
        for controller, metrics in self.controllers.items():
            for metric, interval in metrics.items():
                writer.writerow([controller, metric, interval.mean, interval.low, interval.high])
        return text.getvalue()


def compare(runs: Mapping[str, Sequence[RunFolder]], *, scenario: str, baseline: str | None = None) -> Comparison:
    """Return means and intervals of every metric of the summaries.

    Intervals resample replications; those of accuracy and correct_on_time_rate resample the inputs of the
    test set as well. With one replication they come from the inputs alone, and others have no width.

    Args:
        runs: Label of the controller -> its replications, the same seeds in the same order for all.
        scenario: Name of the scenario.
        baseline: Label of the controller that the others are compared with.

    Raises:
        RecordsError: No runs, unequal numbers of replications or different seeds, or a damaged folder.
    """
    replications = _checked_replications(runs)
    generator = np.random.default_rng(SEED)
    drawn = generator.integers(replications, size=(RESAMPLES, replications))
    rates = _resampled_rates(runs, drawn, generator)
    samples = {label: _samples(folders, drawn, rates[label]) for label, folders in runs.items()}
    return Comparison(
        scenario=scenario,
        replications=replications,
        controllers={label: _intervals(of_one) for label, of_one in samples.items()},
        baseline=baseline,
        differences={
            label: _intervals(_less(of_one, samples[baseline]))
            for label, of_one in samples.items()
            if baseline is not None and label != baseline
        },
        pareto=_pareto(samples),
    )


def _checked_replications(runs: Mapping[str, Sequence[RunFolder]]) -> int:
    seeds = {label: [folder.manifest["seed"] for folder in folders] for label, folders in runs.items()}
    if not all(seeds.values()) or not seeds:
        raise RecordsError(f"nothing to compare: expected one or more runs of each controller, got {seeds}")
    if len({tuple(of_one) for of_one in seeds.values()}) > 1:
        told = "; ".join(f"{label}: {of_one}" for label, of_one in seeds.items())
        raise RecordsError(f"controllers ran with different seeds ({told}): compare runs of the same seeds")
    return len(next(iter(seeds.values())))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Sample:
    """A mean over replications, and what it is in every resample."""

    mean: float
    resampled: NDArray[np.float64]


Samples = Mapping[str, _Sample | None]
"""Metric -> its sample; nothing where a run has no value."""


def _intervals(samples: Samples) -> dict[str, Interval]:
    return {metric: NO_VALUE if one is None else _interval(one) for metric, one in samples.items()}


def _pareto(samples: Mapping[str, Samples]) -> Pareto | None:
    """Return what those controllers trade that completed something in every replication."""
    points: dict[str, tuple[_Sample, _Sample | None, _Sample]] = {}
    for label, of_one in samples.items():
        energy, right, missed = (of_one.get(metric) for metric in OBJECTIVES)
        if energy is not None and missed is not None:
            points[label] = energy, right, missed
    if not points:
        return None
    with_outputs = all(right is not None for _, right, _ in points.values())
    dearest = max(energy.mean for energy, _, _ in points.values())

    def losses(of: Callable[[_Sample], Any]) -> NDArray[np.float64]:
        """Return [points, 3, ...]."""
        return np.array([
            (of(energy) / dearest, 1 - of(right) if with_outputs and right else 0 * of(missed), of(missed))
            for energy, right, missed in points.values()
        ])  # fmt: skip

    means = losses(lambda sample: sample.mean)
    resampled = np.moveaxis(losses(lambda sample: np.nan_to_num(sample.resampled, nan=sample.mean)), -1, 0)
    whole = _Sample(mean=float(hypervolumes(means[None])[0]), resampled=hypervolumes(resampled))
    added, added_resampled = contributions(means[None])[0], contributions(resampled)
    reference = dict(zip(OBJECTIVES, (dearest, 0.0, 1.0), strict=True))
    return Pareto(
        reference={metric: value for metric, value in reference.items() if with_outputs or metric != "accuracy"},
        front=tuple(label for label, is_on in zip(points, front(means), strict=True) if is_on),
        hypervolume=_interval(whole),
        contributions={
            label: _interval(_Sample(mean=float(added[at]), resampled=added_resampled[:, at]))
            for at, label in enumerate(points)
        },
    )


def _less(samples: Samples, baseline: Samples) -> dict[str, _Sample | None]:
    """Return the differences: resample by resample, so that what both have in common cancels."""
    differences: dict[str, _Sample | None] = {}
    for metric in samples.keys() & baseline.keys():
        one, other = samples[metric], baseline[metric]
        differences[metric] = (
            None
            if one is None or other is None
            else _Sample(mean=one.mean - other.mean, resampled=one.resampled - other.resampled)
        )
    return {metric: differences[metric] for metric in samples if metric in differences}


def _samples(
    folders: Sequence[RunFolder], drawn: NDArray[np.int64], rates: Mapping[str, NDArray[np.float64]]
) -> dict[str, _Sample | None]:
    """Return every metric of one controller."""
    summaries = [metrics_of(folder.summary) for folder in folders]
    samples: dict[str, _Sample | None] = {}
    for metric in summaries[0]:
        values = [summary.get(metric) for summary in summaries]
        if any(value is None for value in values):
            samples[metric] = None
            continue
        numbers = np.array(values, np.float64)
        resampled = rates[metric] if metric in rates else numbers[drawn].mean(axis=1)
        samples[metric] = _Sample(mean=float(numbers.mean()), resampled=resampled)
    return samples


def metrics_of(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """Return what a summary has in numbers and runs can be compared by; null where a run has no outcome for it.

    The metrics of each of several streams stand beside the totals: ``camera.accuracy``.
    """
    own = summary.get("streams", {}).items()
    everything = {
        **summary,
        **{f"{stream}.{name}": value for stream, metrics in own for name, value in metrics.items()},
    }
    return {name: value for name, value in everything.items() if _is_number(value) and name not in NOT_COMPARED}


def _is_number(value: object) -> bool:
    """Return whether an entry is a number, or would be one had the run an outcome for it."""
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _interval(sample: _Sample) -> Interval:
    mean = sample.mean
    low, high = np.nanpercentile(sample.resampled, INTERVAL_PERCENTS)
    # The mean of equal numbers may differ from them in the last digit; it still belongs inside.
    return Interval(mean=mean, low=min(float(low), mean), high=max(float(high), mean))


def _resampled_rates(
    runs: Mapping[str, Sequence[RunFolder]], drawn: NDArray[np.int64], generator: np.random.Generator
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return, per controller, the resampled means over inputs; nothing for those without outputs.

    Every run is four counts per input of the test set: right, completed, right and on time, arrived. A
    resample weighs the inputs by how often each was drawn, and takes the mean over the drawn replications.
    """
    flat = {label: [_answers(folder) for folder in folders] for label, folders in runs.items()}
    flat = {label: of_one for label, of_one in flat.items() if all(run.right is not None for run in of_one)}
    everything = [run.input_indices for of_one in flat.values() for run in of_one]
    known = np.unique(np.concatenate(everything)) if everything else np.empty(0, np.int32)
    if not len(known):
        return {label: {} for label in runs}
    counts = np.stack([_counts(run, known) for of_one in flat.values() for run in of_one])
    sums = np.concatenate([weights @ counts for weights in _input_weights(len(known), generator)], axis=1)
    rates: dict[str, dict[str, NDArray[np.float64]]] = {label: {} for label in runs}
    replications = drawn.shape[1]
    for place, label in enumerate(flat):
        own = sums[place * replications : (place + 1) * replications]
        right, completed, right_on_time, arrived = np.moveaxis(own, -1, 0)
        for metric, part, whole in zip(OF_INPUTS, (right, right_on_time), (completed, arrived), strict=True):
            share = np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
            rates[label][metric] = share[drawn.T, np.arange(RESAMPLES)].mean(axis=0)
    return rates


def _answers(folder: RunFolder) -> Answers:
    """Return what became of every input; inputs of several streams are told apart, as each has its own test set."""
    streams = streams_of(folder)
    parts = [
        answers(stream.table("frames", ["status", "input_indices", "predictions", "labels"])) for stream in streams
    ]
    if len(parts) == 1:
        return parts[0]
    right = [part.right for part in parts if part.right is not None]
    return Answers(
        input_indices=np.concatenate([part.input_indices + OF_A_STREAM * at for at, part in enumerate(parts)]),
        completed=np.concatenate([part.completed for part in parts]),
        on_time=np.concatenate([part.on_time for part in parts]),
        right=np.concatenate(right) if len(right) == len(parts) else None,
    )


def _counts(run: Any, known: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return (inputs, 4): right, completed, right and on time, arrived."""
    place = np.searchsorted(known, run.input_indices)
    flags = (run.right, run.completed, run.right & run.on_time, np.ones(len(place)))
    return np.stack([np.bincount(place, weights=flag, minlength=len(known)) for flag in flags], axis=1)


def _input_weights(inputs: int, generator: np.random.Generator) -> Iterator[NDArray[np.float64]]:
    """Yield (some resamples, inputs): how often each input was drawn."""
    for _ in range(RESAMPLES // RESAMPLES_AT_ONCE):
        chosen = generator.integers(inputs, size=(RESAMPLES_AT_ONCE, inputs))
        chosen += np.arange(RESAMPLES_AT_ONCE)[:, None] * inputs
        weights = np.bincount(chosen.ravel(), minlength=RESAMPLES_AT_ONCE * inputs)
        yield weights.reshape(RESAMPLES_AT_ONCE, inputs).astype(np.float64)
