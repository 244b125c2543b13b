"""Protocol buffers' wire format for many messages of one shape at once.

A timeline has millions of messages that differ in a few numbers only. Here those of one shape are the rows of an array
of bytes: numbers are padded to the width of the greatest (varints may carry leading zeros), so that all rows are
equally long and are written column by column.

Source: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.uint8]
"""Shape (messages, bytes): a part of each of many messages."""

VARINT, FIXED64, LENGTH_DELIMITED = 0, 1, 2
_BITS, _MORE = 7, 0x80


def integer(number: int, value: int) -> bytes:
    """Return a field that holds a whole number that is not negative."""
    return _varint(number << 3 | VARINT) + _varint(value)


def text(number: int, value: str) -> bytes:
    """Return a field that holds a text."""
    return message(number, value.encode())


def message(number: int, *parts: bytes) -> bytes:
    """Return a field that holds a message of these fields, or bytes."""
    content = b"".join(parts)
    return _varint(number << 3 | LENGTH_DELIMITED) + _varint(len(content)) + content


def integers(number: int, values: NDArray[Any]) -> Rows:
    """Return a field of whole numbers, one per message; negative ones take ten bytes, as two's complements."""
    unsigned = values.astype(np.uint64)
    width = max(1, -(-int(unsigned.max(initial=0)).bit_length() // _BITS))
    rows = np.empty((len(unsigned), width), np.uint8)
    for place in range(width):
        rows[:, place] = unsigned >> np.uint64(_BITS * place) & np.uint64(_MORE - 1)
    rows[:, :-1] |= _MORE
    return joined(_varint(number << 3 | VARINT), rows)


def doubles(number: int, values: NDArray[Any]) -> Rows:
    """Return a field of floats, one per message."""
    return _of_eight_bytes(number, values.astype("<f8"))


def fixed(number: int, values: NDArray[Any]) -> Rows:
    """Return a field of 64-bit numbers of fixed width, one per message."""
    return _of_eight_bytes(number, values.astype("<u8"))


def messages(number: int, *parts: bytes | Rows) -> Rows:
    """Return a field that holds a message of these fields, one per message; bytes are the same in all."""
    content = joined(*parts)
    return joined(_varint(number << 3 | LENGTH_DELIMITED) + _varint(content.shape[1]), content)


def joined(*parts: bytes | Rows) -> Rows:
    """Return rows that hold the parts of each message one after another; at least one part must be rows."""
    count = next(len(part) for part in parts if not isinstance(part, bytes))
    rows = [
        np.broadcast_to(np.frombuffer(part, np.uint8), (count, len(part))) if isinstance(part, bytes) else part
        for part in parts
    ]
    return np.concatenate(rows, axis=1)


def _of_eight_bytes(number: int, values: NDArray[Any]) -> Rows:
    rows = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), 8)
    return joined(_varint(number << 3 | FIXED64), rows)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= _MORE:
        out.append(value & (_MORE - 1) | _MORE)
        value >>= _BITS
    return bytes((*out, value))
