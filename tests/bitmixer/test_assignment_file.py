"""Assignments on disk: written and read back, and every mistake placed in its line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitmixer.assignment_file import load_assignment, save_assignment
from bitmixer.bitwidths import BitAssignment
from bitmixer.errors import DocumentError
from bitmixer.networks import find_checkpoint

SITES = find_checkpoint("resnet8_digits").graph.layers
LINES = json.dumps({site.name: [8, 8] for site in SITES}, indent=0).splitlines()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.integers(0, 2**32))
def test_what_is_written_is_read_back(tmp_path: Path, seed: int) -> None:
    drawn = BitAssignment.random(SITES, np.random.default_rng(seed))
    path = save_assignment(tmp_path / "found" / "drawn.json", drawn)
    assert load_assignment(path, SITES) == drawn
    assert BitAssignment.from_dict(json.loads(path.read_text(encoding="utf-8"))) == drawn


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"stages.0.0.conv1"',
            '"stages.0.0.conf1"',
            r":6:1: site 'stages\.0\.0\.conf1' is not .* did you mean 'stages",
        ),
        ('"stages.0.0.conv1": [\n8,\n8\n]', '"stages.0.0.conv1": [3, 3]', r":6:21: site .* allows w2a2, w4a4, w8a8"),
        (
            '"stages.0.0.conv1": [\n8,\n8\n]',
            '"stages.0.0.conv1": 8.5',
            r":6:21: site .*: expected \(weight bits, activ",
        ),
        ('"stages.0.0.conv1": [\n8,\n8\n]', '"stages.0.0.conv1": [8.5, 8]', r":6:21: site .*: expected \(weight bits"),
        ('"stages.0.0.conv1": [\n8,\n8\n],\n', "", r"json: site 'stages\.0\.0\.conv1' has no widths"),
        ('"stem"', '"stages.0.0.conv1"', r"key 'stages\.0\.0\.conv1' is given twice"),
        ('"stem": [', '"stem": [[[', r":\d+:\d+: not valid"),
        ('"stem"', "!!python/object/apply:os.system", r"json:2:1"),
    ],
)
def test_a_wrong_file_is_placed(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = "\n".join(LINES)
    assert text.count(old) == 1
    (tmp_path / "a.json").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(DocumentError, match=message):
        load_assignment(tmp_path / "a.json", SITES)


@pytest.mark.parametrize(("text", "found"), [("", "nothing"), ("[1, 2]", "a list of 2"), ("7", "7")])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(DocumentError, match=rf"a\.json:1:1: expected .*; got {found}$"):
        load_assignment(tmp_path / "a.json", SITES)


def test_a_missing_file_suggests_the_nearest(tmp_path: Path) -> None:
    save_assignment(tmp_path / "greedy.json", BitAssignment.uniform(SITES, 4))
    with pytest.raises(DocumentError, match=r"gredy\.json: no such file; did you mean 'greedy\.json'"):
        load_assignment(tmp_path / "gredy.json", SITES)
    with pytest.raises(DocumentError, match="is a directory"):
        load_assignment(tmp_path, SITES)
