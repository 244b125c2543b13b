"""Runs from plan to records: what is refused at once, what is repeatable, what an interruption keeps.

The golden log is a short run with every event of its frames, layers and decisions (``against_golden`` in conftest.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bitmixer.errors import DocumentError
from hwsim import pipeline
from hwsim.errors import ConfigurationError
from hwsim.records.store import RunFolder, digest
from hwsim.replay import replay

RECORDS = ("frames.parquet", "layers.parquet", "decisions.parquet", "telemetry.parquet", "layers.csv")


def run(
    scenario: str, folder: Path, *sets: str, seed: int | None = None, controller: str | None = None
) -> dict[str, Any]:
    planned = pipeline.plan(scenario, sets=sets, seed=seed, controller=controller)
    return pipeline.run(planned, folder, figures=False)


def interrupt_at(stage: str, share: float) -> pipeline.Progress:
    """Return a progress function that is interrupted as Control-C interrupts."""

    def progress(now: str, done: float) -> None:
        if now == stage and done >= share:
            raise KeyboardInterrupt

    return progress


def test_the_same_scenario_and_seed_give_the_same_bytes_and_another_seed_others(bursty: str, tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        run(bursty, tmp_path / name, seed=seed)
    one, again, other = (tmp_path / name for name in ("one", "again", "other"))
    for record in RECORDS:
        assert (one / record).read_bytes() == (again / record).read_bytes(), record
    assert (one / "manifest.json").read_bytes() == (again / "manifest.json").read_bytes()
    assert digest(one) == digest(again) != digest(other)
    assert (one / "frames.parquet").read_bytes() != (other / "frames.parquet").read_bytes()
    run_ids = {RunFolder(folder).manifest["run_id"] for folder in (one, again, other)}
    assert len(run_ids) == 2


def test_every_event_of_a_short_run_is_as_before(
    bursty: str, tmp_path: Path, against_golden: Callable[[Path, str], str]
) -> None:
    sets = [
        "duration=32 ms", "queue.capacity=2", "streams.0.arrivals.bursts.period=0.7 ms",
        "controller.options.calm_milliseconds=3",
    ]  # fmt: skip
    run(bursty, tmp_path / "run", *sets)
    found = against_golden(tmp_path / "run", "bursty")
    for status in ("on_time", "dropped_queue", "reload", "2 frames wait", "nothing waited"):
        assert status in found


def test_switching_in_mid_frame_differs_from_switching_between_frames(bursty: str, tmp_path: Path) -> None:
    mid = run(bursty, tmp_path / "mid", "decisions=mid_frame")
    boundary = run(bursty, tmp_path / "boundary", "decisions=frame_boundary")
    assert mid["frames_arrived"] == boundary["frames_arrived"]
    assert mid["mid_frame_switches"] > 0
    assert mid["mixed_frames"] > 0
    assert (boundary["mid_frame_switches"], boundary["mixed_frames"]) == (0, 0)
    # Until the rule first acts both are one run; then waiting for the boundary costs time.
    assert mid["latency_p99_seconds"] < 0.95 * boundary["latency_p99_seconds"]
    assert mid["energy_joules"] != boundary["energy_joules"]


def test_outputs_in_step_are_those_computed_afterwards(bursty: str, tmp_path: Path, one_thread: None) -> None:
    lazy = run(bursty, tmp_path / "lazy", "outputs=lazy")
    in_step = run(bursty, tmp_path / "in_step", "outputs=in_step")
    none = run(bursty, tmp_path / "none", "outputs=none")
    assert lazy["accuracy"] == in_step["accuracy"] > 0.8
    assert (none["accuracy"], none["correct_on_time_rate"]) == (None, None)
    assert digest(tmp_path / "lazy") == digest(tmp_path / "in_step") != digest(tmp_path / "none")


def test_a_seed_and_a_controller_of_the_command_line_take_the_place_of_the_scenario_s(bursty: str) -> None:
    planned = pipeline.plan(bursty, seed=12, controller="static:bits=4")
    assert planned.scenario.seed == 12
    assert (planned.scenario.controller.name, dict(planned.scenario.controller.options)) == ("static", {"bits": 4})
    assert planned.controller == "static:bits=4"
    # The scenario's own controller by its name keeps the scenario's options.
    own = pipeline.plan(bursty, controller="hysteresis")
    assert own.run_id == pipeline.plan(bursty).run_id
    assert own.run_id != pipeline.plan(bursty, controller="hysteresis:period_milliseconds=1").run_id


@pytest.mark.parametrize(
    ("sets", "controller", "message"),
    [
        (["streams.0.data=digits+nois0.3"], None, "--set streams.0.data: .*'nois': did you mean 'noise'"),
        (["streams.0.data=digit"], None, "unknown set 'digit': did you mean 'digits'"),
        (["streams.0.network=resnet8_digit"], None, "--set streams.0.network: .*did you mean 'resnet8_digits'"),
        (["streams.0.network=resnet18", "outputs=lazy"], None, "resnet18 is a geometry without trained weights"),
        (["controller.options.rungs=[8, 5]"], None, "controller: network resnet8_digits cannot run at 5 bits"),
        ([], "static:bits=5", "--controller static:bits=5: .* cannot run at 5 bits; its layers allow 2, 4, 8"),
        ([], "statc", "--controller statc: unknown controller 'statc': did you mean 'static'"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_before_anything_runs(
    bursty: str, sets: list[str], controller: str | None, message: str
) -> None:
    with pytest.raises(DocumentError, match=message):
        pipeline.plan(bursty, sets=sets, controller=controller)


def test_what_the_scenario_names_is_refused_with_its_line(write_scenario: Callable[..., str]) -> None:
    for old, new, place in (
        ("network: resnet8_digits", "network: resnet9", r"s\.yaml:11:14: streams\.0\.network: "),
        ("data: digits+noise0.3@1", "data: digits+noise", r"s\.yaml:12:11: streams\.0\.data: "),
        ("name: hysteresis", "name: hysteresys", r"s\.yaml:22:13: controller: .*did you mean 'hysteresis'"),
    ):
        with pytest.raises(ConfigurationError, match=place):
            pipeline.plan(write_scenario((old, new)))


def test_a_controller_that_reads_confidences_needs_outputs(bursty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from hwsim.controllers.static import Static

    monkeypatch.setattr(Static, "needs_outputs", True)
    with pytest.raises(ConfigurationError, match="outputs: none"):
        pipeline.plan(bursty, controller="static")
    pipeline.plan(bursty, controller="static", sets=["outputs=in_step"])


@pytest.mark.parametrize("outputs", ["none", "lazy", "in_step"])
def test_an_interruption_keeps_the_frames_that_were_finished(
    bursty: str, tmp_path: Path, outputs: str, one_thread: None
) -> None:
    planned = pipeline.plan(bursty, sets=[f"outputs={outputs}"])
    whole = pipeline.run(planned, tmp_path / "whole", figures=False)
    summary = pipeline.run(planned, tmp_path / "cut", progress=interrupt_at("simulating", 0.5))
    assert summary["interrupted"] is True
    assert "interrupted" not in whole
    assert json.loads((tmp_path / "cut" / "summary.json").read_text(encoding="utf-8")) == summary
    assert 5 < summary["frames_completed"] < whole["frames_completed"]
    cut, full = (pq.read_table(tmp_path / name / "frames.parquet") for name in ("cut", "whole"))
    known = ["frame", "status", "input_indices", "start_picoseconds", "finish_picoseconds", "energy_joules"]
    assert cut.select(known).to_pylist() == full.select(known).to_pylist()[: len(cut)]
    assert RunFolder(tmp_path / "cut").manifest["interrupted"] is True
    assert digest(tmp_path / "cut")
    if outputs == "in_step":
        assert replay(tmp_path / "cut").differing == ()
    else:
        assert summary["accuracy"] is None


def test_an_interruption_while_outputs_are_computed_keeps_the_simulation(
    bursty: str, tmp_path: Path, one_thread: None
) -> None:
    planned = pipeline.plan(bursty, sets=["outputs=lazy"])
    summary = pipeline.run(planned, tmp_path / "cut", progress=interrupt_at("outputs", 0.0))
    assert (summary["interrupted"], summary["accuracy"], summary["frames_completed"]) == (True, None, 32)
    assert len(pq.read_table(tmp_path / "cut" / "frames.parquet")) == 32


def test_an_interruption_within_a_frame_in_step_leaves_no_frame_without_its_outputs(
    bursty: str, tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwsim.outputs import InStepExecution

    original = InStepExecution.frame_ended

    def frame_ended(self: InStepExecution, event: Any) -> None:
        if event.frame == 7:
            raise KeyboardInterrupt
        original(self, event)

    monkeypatch.setattr(InStepExecution, "frame_ended", frame_ended)
    summary = run(bursty, tmp_path / "cut", "outputs=in_step")
    assert (summary["interrupted"], summary["frames_completed"]) == (True, 7)
    assert replay(tmp_path / "cut").frames == 7


def test_a_folder_of_other_files_is_refused_and_left_alone(bursty: str, tmp_path: Path) -> None:
    mine = {"scenario.yaml": "mine", "manifest.json": "{}", "data.parquet": "mine"}
    for name, text in mine.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="holds files that are no run; give --out a new or empty folder"):
        run(bursty, tmp_path)
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == mine
    with pytest.raises(ConfigurationError, match="is a file; give --out a folder"):
        run(bursty, tmp_path / "scenario.yaml")
    with pytest.raises(ConfigurationError, match="cannot be made"):
        run(bursty, tmp_path / "scenario.yaml" / "deeper")


def test_a_former_run_is_written_over_but_not_what_lies_beside_it(bursty: str, tmp_path: Path) -> None:
    run(bursty, tmp_path / "run", seed=1)
    (tmp_path / "run" / "notes.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "run" / "figures").mkdir()
    (tmp_path / "run" / "figures" / "old.svg").write_text("old", encoding="utf-8")
    run(bursty, tmp_path / "run", seed=2)
    assert RunFolder(tmp_path / "run").manifest["seed"] == 2
    assert (tmp_path / "run" / "notes.txt").read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "run" / "figures" / "old.svg").exists()


def test_a_run_can_be_repeated_from_its_own_copy_of_the_scenario(bursty: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(bursty, folder)
    before = digest(folder)
    copy = folder / "scenario.yaml"
    text = copy.read_text(encoding="utf-8")
    run(str(copy), folder)
    assert digest(folder) == before
    assert copy.read_text(encoding="utf-8") == text


def test_the_copies_are_of_what_was_read_not_of_what_the_files_became(
    write_scenario: Callable[..., str], tmp_path: Path
) -> None:
    path = Path(write_scenario())
    planned = pipeline.plan(str(path))
    path.write_text("name: something else\n", encoding="utf-8")
    pipeline.run(planned, tmp_path / "run", figures=False)
    copy = (tmp_path / "run" / "scenario.yaml").read_text(encoding="utf-8")
    assert "name: bursty" in copy
    assert "something else" not in copy


def test_a_network_that_does_not_load_costs_no_former_run(
    bursty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    from bitmixer import networks
    from bitmixer.errors import CheckpointError

    run(bursty, tmp_path / "run")
    before = digest(tmp_path / "run")
    monkeypatch.setenv("HWSIM_CACHE", str(tmp_path / "cache"))  # one that does not know the network yet

    def damaged(*arguments: object) -> None:
        raise CheckpointError("truncated")

    monkeypatch.setattr(networks, "load_network", damaged)
    with pytest.raises(CheckpointError, match="truncated"):
        run(bursty, tmp_path / "run", "outputs=lazy")
    assert digest(tmp_path / "run") == before


def test_the_summary_and_the_manifest_have_what_is_promised(bursty: str, tmp_path: Path) -> None:
    summary = run(bursty, tmp_path / "run")
    promised = (
        "run_id controller frames_arrived frames_completed frames_dropped inputs_completed accuracy "
        "correct_on_time_rate energy_joules energy_per_input_joules latency_p50_seconds latency_p99_seconds "
        "deadline_miss_rate peak_die_temperature_celsius throttled_seconds mean_weight_bits mean_activation_bits "
        "bit_switches mid_frame_switches simulated_seconds wall_seconds"
    )
    assert set(promised.split()) <= set(summary)
    assert {"network", "data", "versions", "run_id"} <= set(RunFolder(tmp_path / "run").manifest)
    ledgers = summary["energy_ledgers"]
    assert ledgers["records_joules"] == pytest.approx(summary["energy_joules"], rel=1e-9)


def test_figures_are_drawn(bursty: str, tmp_path: Path) -> None:
    pipeline.run(pipeline.plan(bursty), tmp_path / "run")
    assert list((tmp_path / "run" / "figures").glob("*.svg"))


def test_a_run_s_folder_is_named_after_controller_and_seed() -> None:
    assert pipeline.run_folder(Path("runs"), 'static:bits="4/2"', 7) == Path("runs") / "static-bits=-4-2--s7"
