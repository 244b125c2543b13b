"""Figures and tables: they are drawn, say what they must, and repeat byte by byte."""

from __future__ import annotations

import io
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from rich.console import Console

from bitmixer.bitwidths import BitWidths
from bitmixer.graph import Layer, LayerGraph
from hwsim.comparison import Comparison, Interval, compare
from hwsim.config.provenance import Provenance
from hwsim.layer_statistics import layer_statistics
from hwsim.metrics import summarise
from hwsim.records.schema import DECISIONS, FRAMES, LAYERS, telemetry_schema
from hwsim.records.store import RunFolder
from hwsim.report.bits_figure import draw_bit_map
from hwsim.report.comparison_figures import draw_timeseries, draw_tradeoff, write_comparison_figures
from hwsim.report.run_figures import draw_layers, draw_timeline, write_run_figures
from hwsim.report.style import spread
from hwsim.report.terminal import print_comparison, print_provenance, print_summary, verdict

SECOND = 10**12
SITES = ("stem", "body", "head")
TELEMETRY = telemetry_schema(("die",))
FRAME_COUNT, SWITCHED = 12, 6


def layer(name: str) -> Layer:
    sizes = {field: 1 for field, kind in Layer.__annotations__.items() if kind == "int"}
    allowed = (BitWidths(8, 8),) if name == "stem" else (BitWidths(4, 4), BitWidths(8, 8))
    return Layer(
        **sizes,
        name=name,
        kind="linear",
        stride=(1, 1),
        padding=(0, 0),
        allowed=allowed,
        producers=(),
        consumers=(),
        key_consumer=None,
        is_key_consumer=True,
    )


GRAPH = LayerGraph(
    network="tiny", input_shape=(1,), classes=2, residual_bits=8, layers=tuple(map(layer, SITES)), joins=()
)


def write(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    blank = {
        field.name: "" if pa.types.is_string(field.type) else [] if pa.types.is_list(field.type) else 0
        for field in schema
    }
    rows = [blank | row for row in rows]
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)


def make_run(
    folder: Path, *, controller: str = "hysteresis", outputs: bool = True, frames: int = FRAME_COUNT
) -> RunFolder:
    """Write a run of one frame per second that drops to 4 bits within frame ``SWITCHED``, from head on."""
    folder.mkdir(parents=True)
    frame_rows = [
        {"frame": number, "status": ("on_time", "late", "dropped_queue")[number % 3]}
        | {"arrival_picoseconds": number * SECOND, "finish_picoseconds": (number + 1) * SECOND}
        | {"input_indices": [number], "labels": [1] * outputs}
        | {"predictions": [1] * (outputs and number % 3 < 2)}
        for number in range(frames)
    ]
    layer_rows = [
        {"frame": number, "purpose": "inference", "layer": site, "cycles": 10, "energy_joules": 0.5}
        | {"weight_bits": bits, "activation_bits": bits, "norm_reload": False}
        | {"start_picoseconds": number * SECOND + place * 10**11}
        | {"finish_picoseconds": number * SECOND + (place + 1) * 10**11}
        for number in range(frames)
        for place, site in enumerate(SITES)
        for bits in [4 if site != "stem" and (number, place) >= (SWITCHED, 2) else 8]
    ]
    telemetry_rows = [
        {"time_picoseconds": (number + 1) * SECOND, "die_celsius": 60.0 + number, "die_reading_celsius": 60.0}
        | {"ambient_celsius": 25.0, "frequency_hertz": 2 * 10**8, "throttle_cap_hertz": 2 * 10**8}
        | {"power_watts": 2.0, "wanted_weight_bits": 8.0 if number < SWITCHED else 5.0, "power_state": "on"}
        for number in range(max(frames, 2))
    ]
    decisions = [
        {"frame": -1, "changed_sites": 2, "assignment": json.dumps({site: [8, 8] for site in SITES})},
        {"frame": SWITCHED, "next_layer": "head", "changed_sites": 2, "bits_before": 8.0, "bits_after": 5.0}
        | {"effective_picoseconds": SWITCHED * SECOND + 10**11}
        | {"assignment": json.dumps({"stem": [8, 8], "body": [4, 4], "head": [4, 4]})},
    ]
    write(folder / "frames.parquet", frame_rows, FRAMES)
    write(folder / "layers.parquet", layer_rows, LAYERS)
    write(folder / "telemetry.parquet", telemetry_rows, TELEMETRY)
    write(folder / "decisions.parquet", decisions if frames else [], DECISIONS)
    (folder / "graph.json").write_text(GRAPH.to_json())
    trip = {"temperature_celsius": 80.0, "resume_celsius": 75.0, "frequency_cap_hertz": 10**8}
    limits = {
        "maximum_frequency_hertz": 2 * 10**8,
        "sensor_node": "die",
        "maximum_junction_celsius": 85.0,
        "decision_energy_joules": 0.5,
    }
    manifest = {"run_id": "r1", "controller": controller, "seed": 3, "network": "tiny", "data": "digits"}
    manifest |= {"inputs_per_frame": 1, "limits": limits | {"trips": [trip]}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    run = RunFolder(folder)
    (folder / "summary.json").write_text(
        json.dumps(summarise(run, layer_statistics(run, GRAPH), GRAPH, wall_seconds=1.0))
    )
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("runs") / "one")


def texts(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(mpl.text.Text) if text.get_text()}


def test_files_are_svg_and_repeat_byte_by_byte(run: RunFolder) -> None:
    paths = write_run_figures(run)
    assert [path.relative_to(run.path).as_posix() for path in paths] == [
        *("figures/timeline.svg", "figures/layers.svg", "figures/bits.svg")
    ]
    before = [path.read_bytes() for path in paths]
    assert [ET.fromstring(content).tag.rpartition("}")[2] for content in before] == ["svg"] * 3
    assert [path.read_bytes() for path in write_run_figures(run)] == before


def test_drawing_leaves_matplotlib_as_it_was(run: RunFolder) -> None:
    before = dict(mpl.rcParams)
    write_run_figures(run)
    assert dict(mpl.rcParams) == before


def test_the_timeline_names_its_lines_limits_and_units(run: RunFolder) -> None:
    shown = texts(draw_timeline(run))
    assert {"limit 85 °C", "trip 80 °C: 100 MHz", "die (true)", "die (as sensed)", "ambient air"} <= shown
    assert {"33 % dropped", "33 % late", "none ever waits"} <= shown
    assert {"temperature\n(°C)", "clock\n(MHz)", "time since the start of the run (s)"} <= shown
    assert (
        "The die peaked at 71.0 °C; the clock was throttled for 0 s; 67 % of the frames were late or dropped." in shown
    )


def test_layers_show_every_layer_and_its_share(run: RunFolder) -> None:
    shown = texts(draw_layers(run))
    assert {*SITES, "33 %", "in all 18 J", "in all 3.6 s"} <= shown


def test_the_bit_map_shows_a_change_within_a_frame(run: RunFolder) -> None:
    figure = draw_bit_map(run)
    over_time, around = figure.axes
    widths = around.images[0].get_array()
    assert widths is not None
    body, head = widths[1].tolist(), widths[2].tolist()
    assert body == [8] * (SWITCHED + 1) + [4] * (FRAME_COUNT - SWITCHED - 1)
    assert head == [8] * SWITCHED + [4] * (FRAME_COUNT - SWITCHED)
    assert len(over_time.lines) == 1  # one red tick
    boundary = around.lines[0].get_xydata().tolist()  # between body and head, as wide as the frame
    assert boundary == [[SWITCHED, 1.5], [SWITCHED + 1, 1.5]]
    assert any(f"changed frame {SWITCHED} from head on" in text for text in texts(figure))


@pytest.mark.parametrize("frames", [0, 1])
def test_runs_of_almost_nothing_can_be_drawn(tmp_path: Path, frames: int) -> None:
    assert len(write_run_figures(make_run(tmp_path / "short", frames=frames))) == 3


def test_the_tradeoff_places_every_controller() -> None:
    cheap = {"energy_per_input_joules": Interval(mean=0.002, low=0.001, high=0.003)}
    cheap |= {"accuracy": Interval(mean=0.9, low=0.8, high=1.0)}
    cheap |= {"correct_on_time_rate": Interval(mean=0.6, low=0.5, high=0.8)}
    idle = cheap | {"energy_per_input_joules": Interval(mean=None, low=None, high=None)}
    figure = draw_tradeoff(Comparison(scenario="hot", replications=2, controllers={"a": cheap, "idle": idle}))
    (axes,) = figure.axes
    assert axes.lines[0].get_xydata().tolist() == [[2.0, 60.0]]
    assert "a" in texts(figure)
    assert "idle" not in texts(figure)


def test_without_outputs_the_tradeoff_is_about_frames_on_time(tmp_path: Path) -> None:
    silent = make_run(tmp_path / "silent", outputs=False)
    figure = draw_tradeoff(compare({"silent": [silent]}, scenario="hot"))
    assert figure.axes[0].get_ylabel() == "frames finished on time (% of all that arrived)"
    assert figure.axes[0].lines[0].get_ydata()[0] == pytest.approx(100 / 3)


def test_time_series_share_their_axes(run: RunFolder, tmp_path: Path) -> None:
    runs = {"hysteresis": [run], "static": [make_run(tmp_path / "static", controller="static", frames=20)]}
    figure = draw_timeseries({label: folders[0] for label, folders in runs.items()})
    assert {"hysteresis", "static"} <= texts(figure)
    assert {axes.get_xlim() for axes in figure.axes} == {(0.0, 20.0)}
    assert figure.axes[0].get_ylim() == figure.axes[4].get_ylim()
    paths = write_comparison_figures(compare({"one": [run]}, scenario="hot"), {"one": [run]}, tmp_path, {})
    assert [path.name for path in paths] == ["tradeoff.svg", "timeseries.svg", "multiples.svg"]


@given(st.lists(st.floats(-1, 2), max_size=12), st.floats(0, 0.3))
def test_labels_keep_their_order_their_distance_and_to_the_axes(wanted: list[float], gap: float) -> None:
    placed = spread(sorted(wanted), gap)
    least = min(gap, 1 / max(len(wanted), 1))
    assert all(after - before >= least - 1e-5 for before, after in itertools.pairwise(placed))
    assert all(-1e-5 <= position <= 1 + 1e-5 for position in placed)


@given(st.lists(st.integers(0, 10), unique=True))
def test_labels_that_have_room_stay_where_they_are(tenths: list[int]) -> None:
    wanted = sorted(tenth / 10 for tenth in tenths)
    assert spread(wanted, 0.09) == pytest.approx(wanted)


def printed(write_to: Any, what: Any) -> str:
    console = Console(file=io.StringIO(), width=80)
    write_to(what, console=console)
    return console.file.getvalue()


def test_the_summary_is_readable_and_has_no_colours_where_there_is_no_terminal(run: RunFolder) -> None:
    shown = printed(print_summary, run.summary)
    assert "33.3 % of the inputs that arrived were answered right and on time" in " ".join(shown.split())
    assert "71.0 °C  hottest the die got" in shown
    assert "\x1b" not in shown


def test_the_verdict_needs_no_outputs_and_no_frames(run: RunFolder) -> None:
    silent = dict(run.summary) | {"correct_on_time_rate": None}
    assert verdict(silent).startswith("33.3 % of the frames that arrived were done on time")
    assert verdict(silent | {"deadline_miss_rate": None}).startswith("No frame arrived")
    assert "throttled 25.0 % of the time" in verdict(silent | {"throttled_seconds": 3.0})
    off = verdict(silent | {"shutdown_seconds": 7.25, "off_seconds": 2.0})
    assert "It switched itself off at 7.25 s, for 2 s in all." in off
    assert "switched itself off" not in verdict(silent)
    assert "Its leakage ran away: it was off for that at 3.5 s." in verdict(silent | {"runaway_seconds": 3.5})


def test_the_comparison_fits_a_terminal(run: RunFolder) -> None:
    shown = printed(print_comparison, compare({"power_allocator": [run], "static": [run]}, scenario="hot"))
    assert "power_allocator" in shown
    assert "8.3-58.3" in shown
    assert "…" not in shown


def test_labels_are_printed_as_they_are(run: RunFolder) -> None:
    label = "hysteresis:rungs=[/a/rich.json, b.json, 2]"
    assert label in printed(print_summary, run.summary | {"controller": label})
    shown = printed(print_comparison, compare({label: [run], "static": [run]}, scenario="hot"))
    assert "[/a/rich.json" in shown.replace("\n", "")
    assert f"{label} and static are beaten by no other" in shown.replace("\n", " ")


def test_every_number_of_a_profile_says_where_it_is_from() -> None:
    sourced = Provenance(path="a.b", value="8", range="", source="a paper [1]", assumption=None)
    assumed = Provenance(path="c", value="2 W", range="1 W to 3 W", source=None, assumption="a guess")
    shown = printed(print_provenance, [sourced, assumed])
    assert shown.split("\n")[:4] == [
        *("a.b: 8", "    a paper [1]".ljust(80), "c: 2 W", "    assumed, range 1 W to 3 W: a guess".ljust(80))
    ]


def test_neither_tables_nor_metrics_load_matplotlib() -> None:
    code = "import hwsim.metrics, hwsim.report.terminal, sys; print('matplotlib' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
