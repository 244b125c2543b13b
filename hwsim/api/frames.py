"""Tables as data frames of pandas or polars."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, TypeVar

import pyarrow as pa

from hwsim.errors import ConfigurationError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

Frame = TypeVar("Frame")
"""A data frame of either library."""
PandasFrame: TypeAlias = "pd.DataFrame"


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Return a table as a data frame of pandas; lists are arrays in it.

    Raises:
        ConfigurationError: pandas is not installed.
    """
    try:
        frame: pd.DataFrame = table.to_pandas()
    except ImportError:
        raise ConfigurationError(_MISSING.format("pandas")) from None
    return frame


def to_polars(table: pa.Table) -> pl.DataFrame:
    """Return a table as a data frame of polars.

    Raises:
        ConfigurationError: polars is not installed.
    """
    try:
        import polars as pl
    except ImportError:
        raise ConfigurationError(_MISSING.format("polars")) from None
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame), "a table has columns"
    return frame


_MISSING = "{} is not installed: pip install 'bitmixer-hwsim[frames]'"
