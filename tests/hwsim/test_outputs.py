"""Outputs are the real network's under the recorded bits: lazily, in step, and from the cache."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitmixer.graph import LayerGraph
from bitmixer.networks.checkpoint import Checkpoint, find_checkpoint
from hwsim.controllers.base import Decision, Observation
from hwsim.drift import Drift
from hwsim.outputs import InStepExecution, LoadedNetwork, PredictionCache, default_cache, lazy_predictions
from hwsim.simulation.arrivals import PeriodicArrivals
from hwsim.simulation.setup import Setup
from hwsim.simulation.simulator import Simulator

DATA = "digits+noise0.5@1"
MICROSECOND = 1_000_000


@pytest.fixture(scope="module")
def loaded(one_thread: None) -> LoadedNetwork:
    return LoadedNetwork(find_checkpoint("resnet8_digits"), DATA)


@pytest.fixture
def computed(loaded: LoadedNetwork, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many inputs each call of the network was given."""
    return counted(loaded, monkeypatch)


def counted(loaded: LoadedNetwork, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    original = loaded.predict

    def predict(widths: Any, indices: Any) -> Any:
        calls.append(len(indices))
        return original(widths, indices)

    monkeypatch.setattr(loaded, "predict", predict)
    return calls


@pytest.fixture(scope="module")
def setup(make_setup: Callable[..., Setup], scripted: Any, graph: LayerGraph, loaded: LoadedNetwork) -> Setup:
    """Some twenty frames that change their bits at random, layer by layer."""
    choose = np.random.default_rng(3)

    def script(observation: Observation, generator: Any) -> Decision:
        widths = {layer.name: layer.allowed[int(choose.integers(len(layer.allowed)))] for layer in graph.layers}
        return Decision(widths=widths, reason="random")

    return make_setup(
        scripted(script=script),
        arrivals=PeriodicArrivals(period=50 * MICROSECOND),
        inputs_per_frame=5,
        duration_picoseconds=1000 * MICROSECOND,
        available_inputs=len(loaded.labels),
    )


@pytest.fixture(scope="module")
def run(setup: Setup, loaded: LoadedNetwork, request: pytest.FixtureRequest) -> Any:
    """The simulation, executed in step."""
    log = request.getfixturevalue("log_class")()
    log.in_step = InStepExecution([loaded], Drift.none(""))
    Simulator(setup, [log.in_step, log]).run()
    return log


def test_lazy_in_step_and_a_plain_run_of_the_network_agree(run: Any, loaded: LoadedNetwork) -> None:
    from bitmixer.bitwidths import BitAssignment
    from bitmixer.execution import run as run_network

    done = [frame for frame in run.frames if frame.widths]
    lazy = lazy_predictions(loaded, run.frames)
    assert len(done) > 10
    assert len({frame.widths for frame in done}) > 10
    assert set(lazy) == set(run.in_step.predictions) == {frame.frame for frame in done}
    for frame in done:
        used = {
            loaded.graph.layers[layer.position].name: (layer.weight_bits, layer.activation_bits)
            for layer in run.of_frame(frame.frame)
        }
        logits = run_network(loaded.network, loaded.inputs[list(frame.inputs)], BitAssignment.from_dict(used))
        plain = logits.argmax(dim=1).numpy()
        np.testing.assert_array_equal(lazy[frame.frame], plain)
        np.testing.assert_array_equal(run.in_step.predictions[frame.frame], plain)


def test_bits_matter_to_the_predictions(run: Any, loaded: LoadedNetwork) -> None:
    everything = np.arange(len(loaded.labels))
    widths = {bits: tuple(loaded.graph.uniform(bits).values()) for bits in (2, 8)}
    assert (loaded.predict(widths[2], everything) != loaded.predict(widths[8], everything)).any()


def test_confidence_is_the_mean_top_probability_and_is_told_once(run: Any, loaded: LoadedNetwork) -> None:
    from bitmixer.execution import run as run_network

    frame = next(frame for frame in run.frames if frame.widths)
    logits = run_network(loaded.network, loaded.inputs[list(frame.inputs)], loaded.assignment(frame.widths))
    probabilities = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=1, keepdims=True)
    told = run.in_step.take_confidences()
    assert len(told) == len([frame for frame in run.frames if frame.widths])
    assert told[0] == pytest.approx(probabilities.max(axis=1).mean(), rel=1e-5)
    assert run.in_step.take_confidences() == ()


def test_a_second_run_computes_nothing(run: Any, loaded: LoadedNetwork, computed: list[int], tmp_path: Path) -> None:
    first = lazy_predictions(loaded, run.frames, cache=PredictionCache(loaded, tmp_path))
    distinct = {(frame.widths, each) for frame in run.frames if frame.widths for each in frame.inputs}
    assert sum(computed) == len(distinct)
    computed.clear()
    again = lazy_predictions(loaded, run.frames, cache=PredictionCache(loaded, tmp_path))
    assert computed == []
    assert all((first[frame] == again[frame]).all() for frame in first)


def test_predictions_that_are_known_load_no_network(run: Any, loaded: LoadedNetwork, tmp_path: Path) -> None:
    fresh = LoadedNetwork(find_checkpoint("resnet8_digits"), DATA)
    assert not PredictionCache(fresh, tmp_path).is_started
    first = lazy_predictions(loaded, run.frames, cache=PredictionCache(loaded, tmp_path))
    assert PredictionCache(fresh, tmp_path).is_started
    again = lazy_predictions(fresh, run.frames, cache=PredictionCache(fresh, tmp_path))
    assert all((first[frame] == again[frame]).all() for frame in first)
    assert not {"network", "inputs"} & set(vars(fresh))  # loaded when they are first asked for


def test_only_inputs_that_are_new_are_computed(
    run: Any, loaded: LoadedNetwork, computed: list[int], tmp_path: Path
) -> None:
    frame = run.frames[0]._replace(inputs=(1, 2, 3))
    cache = PredictionCache(loaded, tmp_path)
    lazy_predictions(loaded, [frame], cache=cache)
    lazy_predictions(loaded, [frame._replace(inputs=(2, 3, 4, 5))], cache=cache)
    assert computed == [3, 2]


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"no array"),
        lambda file: np.save(file, np.load(file)[:-1]),
        lambda file: np.save(file, np.load(file).astype(np.float64)),
        lambda file: np.save(file, np.full_like(np.load(file), 10)),
        lambda file: np.save(file, np.array([{}], dtype=object), allow_pickle=True),
    ],
    ids=["truncated", "empty", "text", "short", "floats", "no such class", "pickle"],
)
def test_a_damaged_file_of_the_cache_is_computed_again(
    run: Any, loaded: LoadedNetwork, computed: list[int], tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    frames = run.frames[:1]
    right = lazy_predictions(loaded, frames, cache=PredictionCache(loaded, tmp_path))
    (file,) = tmp_path.rglob("*.npy")
    damage(file)
    computed.clear()
    again = lazy_predictions(loaded, frames, cache=PredictionCache(loaded, tmp_path))
    assert computed == [5]
    np.testing.assert_array_equal(again[frames[0].frame], right[frames[0].frame])
    computed.clear()
    lazy_predictions(loaded, frames, cache=PredictionCache(loaded, tmp_path))
    assert computed == []


@pytest.mark.parametrize("data", ["digits", "digits+noise0.5@2", "digits+noise0.4@1"])
def test_other_data_share_no_entries(
    run: Any, loaded: LoadedNetwork, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lazy_predictions(loaded, run.frames[:1], cache=PredictionCache(loaded, tmp_path))
    other = LoadedNetwork(find_checkpoint("resnet8_digits"), data)
    computed = counted(other, monkeypatch)
    lazy_predictions(other, run.frames[:1], cache=PredictionCache(other, tmp_path))
    assert computed == [5]


def scaled_checkpoint(folder: Path) -> Checkpoint:
    """Return a copy of the checkpoint whose classifier's first row is changed."""
    from safetensors.numpy import load_file, save_file

    shutil.copytree(find_checkpoint("resnet8_digits").path, folder)
    tensors = load_file(folder / "weights.safetensors")
    bias = next(key for key in tensors if key.endswith("classifier.bias"))
    tensors[bias] = tensors[bias] + np.eye(1, len(tensors[bias]), dtype=np.float32)[0] * 100
    save_file(tensors, folder / "weights.safetensors")
    content = json.loads((folder / "checkpoint.json").read_text(encoding="utf-8"))
    content["weights_sha256"] = hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    (folder / "checkpoint.json").write_text(json.dumps(content), encoding="utf-8")
    return find_checkpoint(folder)


def test_another_checkpoint_of_the_same_name_shares_no_entries(
    run: Any, loaded: LoadedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lazy_predictions(loaded, run.frames[:1], cache=PredictionCache(loaded, tmp_path / "cache"))
    other = LoadedNetwork(scaled_checkpoint(tmp_path / "network"), DATA)
    computed = counted(other, monkeypatch)
    predictions = lazy_predictions(other, run.frames[:1], cache=PredictionCache(other, tmp_path / "cache"))
    assert computed == [5]
    assert predictions[0].tolist() == [0] * 5


def test_frames_that_never_ran_have_no_predictions(run: Any, loaded: LoadedNetwork, computed: list[int]) -> None:
    dropped = run.frames[0]._replace(status="dropped_queue", widths=())
    assert lazy_predictions(loaded, [dropped]) == {}
    assert computed == []


def test_the_cache_s_place_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "mine"))
    assert default_cache() == tmp_path / "mine"
    monkeypatch.delenv("HWSIM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "all"))
    assert default_cache() == tmp_path / "all" / "hwsim"
