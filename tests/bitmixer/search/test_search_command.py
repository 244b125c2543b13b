"""``bitmixer search`` as its users see it: files, JSON, tables and errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bitmixer.assignment_file import load_assignment
from bitmixer.cli import main
from bitmixer.networks import find_checkpoint

SITES = find_checkpoint("resnet8_digits").graph.layers
QUICK = ("--data", "digits+noise0.4@7", "--images", "40", "--random", "3", "--quiet")
Called = Callable[..., tuple[int, str, str]]


@pytest.fixture
def called(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Called:
    """Return a function that runs the command line and returns exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bitmixer", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
        printed = capsys.readouterr()
        return int(done.value.code or 0), printed.out, printed.err

    return call


def test_search_writes_assignments_that_evaluate_takes(called: Called, tmp_path: Path) -> None:
    arguments = ("search", "resnet8_digits", "--budget", "average_bits<=3", *QUICK, "--json", "--out", tmp_path)
    code, out, err = called(*arguments)
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert json.loads((tmp_path / "search.json").read_text(encoding="utf-8")) == found
    assert found["search"] == {"images": 40, "split": "train", "seed": 0}
    assert found["budget"] == {"kind": "average_bits", "fixed": 0.0, "least": 2.0, "greatest": 8.0, "limit": 3.0}
    assert (found["network"], found["data"], found["inputs"]) == ("resnet8_digits", "digits+noise0.4@7", 359)
    rows = {row["file"]: row for row in found["found"] if row["file"]}
    assert set(rows) == {"greedy.json", "exact.json", "random-00.json", "random-01.json", "random-02.json"}
    assert found["random"]["accuracy"]["count"] == 3
    for name, row in rows.items():
        assignment = load_assignment(tmp_path / name, SITES)
        assert {site: list(widths) for site, widths in assignment.items()} == row["assignment"]
        assert row["cost"] <= 3 + 1e-9
    assert called(*arguments)[1] == out

    code, out, _ = called(
        "evaluate", "resnet8_digits", "--data", "digits+noise0.4@7", "--assignment", tmp_path / "exact.json", "--json"
    )
    measured = json.loads(out)
    assert code == 0
    assert measured["assignment"] == rows["exact.json"]["accuracy"]
    uniform = {row["method"]: row["accuracy"] for row in found["found"] if row["limit"] is None}
    assert measured["uniform"] == {bits: uniform[f"uniform {bits} bit"] for bits in ("8", "4", "2")}


def test_search_prints_a_table(called: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = called("search", "resnet8_digits", "--budget", "weight_bytes<=6000", *QUICK)
    assert (code, err) == (0, "")
    for word in ("359 inputs of digits+noise0.4@7, weight_bytes<=6000", "uniform 4 bit", "exact", "random, mean of 3"):
        assert word in out
    assert (tmp_path / "runs" / "search-resnet8_digits" / "exact.json").is_file()
    assert (
        called("evaluate", "resnet8_digits", "--assignment", "runs/search-resnet8_digits/exact.json")[1].count("%") == 4
    )


def test_a_table_of_costs_and_one_method(called: Called, tmp_path: Path) -> None:
    rows = [f"{s.name},{w.weight},{w.activation},{w.weight * 10}" for s in SITES for w in s.allowed]
    table = tmp_path / "costs.csv"
    table.write_text("\n".join(["layer,weight_bits,activation_bits,cycles", *rows]) + "\n", encoding="utf-8")
    code, out, _ = called(
        "search", "resnet8_digits", "--budget", "cycles<=400", "--costs", table, "--method", "exact", *QUICK, "--json",
        "--out", tmp_path / "out",
    )  # fmt: skip
    found = json.loads(out)
    assert code == 0
    assert found["budget"]["fixed"] == 160
    assert found["random"] is None
    (row,) = (row for row in found["found"] if row["file"])
    assert row["cost"] == sum(10 * weight for weight, _ in row["assignment"].values()) <= 400


def test_pareto_writes_data_and_figure(called: Called, tmp_path: Path) -> None:
    code, out, _ = called(
        "search", "resnet8_digits", "--budget", "average_bits<=3", *QUICK, "--method", "exact", "--pareto", "--json",
        "--out", tmp_path,
    )  # fmt: skip
    assert code == 0
    front = json.loads((tmp_path / "pareto.json").read_text(encoding="utf-8"))
    limits = [row["limit"] for row in front["points"] if row["method"] == "exact"]
    assert limits == pytest.approx([2, 2.5, 3, 3.5, 4, 5, 6, 7, 8])
    assert any(row["on_front"] for row in front["points"])
    assert (tmp_path / "pareto.svg").read_text(encoding="utf-8").count("<svg") == 1
    assert [row["limit"] for row in json.loads(out)["found"] if row["method"] == "exact"] == [3.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--budget", "average_bits<=1.5"), "with every site at its cheapest, average_bits is 2"),
        (("--budget", "averagebits<=3"), "did you mean 'average_bits'"),
        (("--budget", "average_bits=3"), "expected KIND<=NUMBER"),
        (("--budget", "average_bits<=3", "--method", "gredy"), "unknown method 'gredy': did you mean 'greedy'"),
        (("--budget", "average_bits<=3", "--images", "100000"), "has 1438 training images"),
        (("--budget", "average_bits<=3", "--data", "mnist5k"), "takes (1, 8, 8)"),
        (("--budget", "cycles<=3", "--costs", "nowhere.csv"), "nowhere.csv: no such file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    called: Called, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = called("search", "resnet8_digits", "--out", tmp_path / "out", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not (tmp_path / "out").exists()


def test_a_wrong_assignment_is_placed(called: Called, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{\n "stem": [8, 8],\n "stages.0.0.convl": [2, 2]}', encoding="utf-8")
    code, _, err = called("evaluate", "resnet8_digits", "--assignment", file)
    assert code == 2
    assert err.startswith(f"error: {file}:3:2: site 'stages.0.0.convl' is not in this network: did you mean 'stages")


def test_several_methods(called: Called, tmp_path: Path) -> None:
    arguments = ("search", "resnet8_digits", "--budget", "average_bits<=3", *QUICK, "--json", "--out", tmp_path)
    code, out, _ = called(*arguments, "--method", "random, greedy")
    assert code == 0
    methods = [row["method"] for row in json.loads(out)["found"] if row["file"]]
    assert methods == ["greedy", "random", "random", "random"]
    code, _, err = called(*arguments, "--method", "greedy,exat")
    assert (code, "unknown method 'exat': did you mean 'exact'" in err) == (2, True)
