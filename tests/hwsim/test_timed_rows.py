"""Rows of numbers from files: units, and what is said of a wrong cell."""

from __future__ import annotations

import pytest

from hwsim.config.quantity import Celsius, measured
from hwsim.config.timed_rows import read_timed_rows
from hwsim.errors import ConfigurationError

AIR = {"air": measured(Celsius)}
SECOND = 10**12


def read(text: str, *, ties: bool = False) -> tuple[tuple[float, ...], ...]:
    return read_timed_rows(text, "day.csv", AIR, ties=ties)


def test_units_of_the_header_count_for_their_column() -> None:
    text = "# a day\n\ntime [min], wind [m/s], air [degC]  # of the roof\n0, 3, 21.5\n 1.5,high,-4 # gust\n"
    assert read(text) == ((0, 21.5), (90 * SECOND, -4.0))
    assert read("air[°C],time[ms]\r\n1e1,2\r\n") == ((2 * 10**9, 10.0),)


def test_one_column_of_times_is_a_plain_list() -> None:
    assert read_timed_rows("time [s]\n0.25\n0.25\n3\n", "f", {}, ties=True) == (
        (SECOND // 4,),
        (SECOND // 4,),
        (3 * SECOND,),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "day.csv:1:1: no header: write 'time [s],air [degC]', then rows of numbers"),
        ("time [s],air [degC]\n# nothing\n", "day.csv:1:1: a header without rows: add at least one"),
        ("time [s],aire [degC]\n0,1\n", "day.csv:1:1: no column 'air': did you mean 'aire'?"),
        ("time [s], air\n0,1\n", "day.csv:1:11: column 'air' has no unit: write for example 'air [degC]'"),
        ("time [s], air [K]\n0,1\n", "day.csv:1:11: column 'air': unit 'K' measures something else"),
        ("time [h],air [dgC]\n0,1\n", "day.csv:1:10: column 'air': unknown unit 'dgC'"),
        ("time [s],air [degC],air [degC]\n0,1,2\n", "day.csv:1:21: column 'air' is given twice: keep one"),
        ("time [s],air ]degC[\n0,1\n", "day.csv:1:10: 'air ]degC[' does not name a column"),
        ("time [s],air [degC]\n0,1\n1\n", "day.csv:3:1: 1 values, but the header names 2 columns"),
        ("time [s],air [degC]\n0,1\n1,  warm\n", "day.csv:3:5: air: 'warm degC' is not a temperature"),
        ("time [s],air [degC]\n0,-300\n", "day.csv:2:3: air: -300 degC is out of bounds"),
        ("time [s],air [degC]\n0,\n", "day.csv:2:3: air: ' degC' is not a temperature"),
        ("time [s],air [degC]\n0,nan\n", "day.csv:2:3: air: 'nan degC' is not a temperature"),
        ("time [s],air [degC]\n-1,1\n", "day.csv:2:1: time: -1 s is out of bounds"),
        ("time [s],air [degC]\n2,1\n\n2,3\n", "day.csv:4:1: time: is not later than the row above"),
        ("air [degC],time [s]\n1,2\n1,1.5\n", "day.csv:3:3: time: is not later than the row above"),
    ],
)
def test_wrong_files_are_explained(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    assert str(caught.value).startswith(message)


def test_times_may_be_equal_only_where_that_makes_sense() -> None:
    rows = "time [s],air [degC]\n1,0\n1,5\n"
    assert len(read(rows, ties=True)) == 2
    with pytest.raises(ConfigurationError, match=r"day\.csv:3:1: time: is before the row above"):
        read(rows.replace("1,5", "0,5"), ties=True)
