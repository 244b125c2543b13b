"""Everything that bitmixer raises on purpose, under one root."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BitmixerError(Exception):
    """Root of all errors of this package; its message says what, where, what was expected, how to mend it."""


class BitWidthError(BitmixerError):
    """Raised when a bit-width does not exist or a site does not allow it."""


class UnknownSiteError(BitmixerError):
    """Raised when an assignment names a site that the network does not have."""


class QuantizerError(BitmixerError):
    """Raised when a quantiser or a granularity of its steps does not exist."""


class UnsupportedNetworkError(BitmixerError):
    """Raised when a network holds an operation that cannot be converted or captured."""


class GraphFormatError(BitmixerError):
    """Raised when a ``graph.json`` is not a layer graph, or of another version."""


class CheckpointError(BitmixerError):
    """Raised when a checkpoint is missing, damaged, or belongs to another network."""


class TrainingError(BitmixerError):
    """Raised when a training cannot start, or diverges."""


class SearchError(BitmixerError):
    """Raised when a budget or a cost table is wrong, or no assignment can meet a budget."""


class DataError(BitmixerError):
    """Raised when a data set is unknown, missing or damaged."""


class DocumentError(BitmixerError):
    """Raised when a document that a person wrote (recipe, scenario, profile) cannot be read or is invalid."""


class DatapathError(BitmixerError):
    """Raised when a datapath does not exist, or codes are not those that bit planes were asked to hold."""


class InterchangeError(BitmixerError):
    """Raised when a file of another format cannot be read or written."""


class OutputError(BitmixerError):
    """Raised when a file or folder cannot be written."""


class MissingExtraError(BitmixerError, ImportError):
    """Raised when an optional library is needed that is not installed; the message names the extra."""


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return a sentence that helps a reader who mistyped a name.

    >>> did_you_mean("resnet_20", ["resnet8", "resnet20"])
    "did you mean 'resnet20'? Known: resnet20, resnet8"
    """
    known = sorted(choices)
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"{hint}Known: {', '.join(known) or 'none'}"
