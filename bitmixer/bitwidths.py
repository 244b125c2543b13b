"""Bit-widths of one site and of a whole network. Plain data: no torch here."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral
from typing import Literal, NamedTuple, Protocol, TypeVar, get_args

import numpy as np

from bitmixer.errors import BitWidthError, DatapathError, UnknownSiteError, did_you_mean

MAX_BITS = 8

NormKey = Literal["transition", "producer", "shared"]
"""What chooses a norm: its producer's and its key consumer's bits, its producer's alone, or nothing."""

End = Literal["first", "last"]
"""A layer at an end of the network, which may be kept at 8 bits."""
ENDS: tuple[End, ...] = get_args(End)

Datapath = Literal["bit_parallel", "bit_serial"]
"""How integer codes are multiplied: as whole numbers, or plane by plane with AND, popcount and shift-add. Both give the
same accumulators."""

WeightCodes = Literal["nested", "truncated", "independent"]
"""What a width's weight codes are: leading planes of the stored codes and a carry from the next plane; leading
planes alone; or codes of their own, stored beside those of the other widths."""


class BitWidths(NamedTuple):
    """Bits of a site's weights and of the activations that it reads."""

    weight: int
    activation: int

    def __str__(self) -> str:
        return f"w{self.weight}a{self.activation}"

    @classmethod
    def tied(cls, bits: int) -> BitWidths:
        """Return the same width for weights and activations."""
        return cls(bits, bits)


def checked_datapath(name: str) -> Datapath:
    """Return the datapath of this name.

    Raises:
        DatapathError: There is none.
    """
    known: tuple[Datapath, ...] = get_args(Datapath)
    for datapath in known:
        if datapath == name:
            return datapath
    raise DatapathError(f"unknown datapath {name!r}: {did_you_mean(name, known)}")


def checked_bits(bits: Sequence[int]) -> tuple[int, ...]:
    """Return the distinct widths, ascending.

    Raises:
        BitWidthError: None given, or one outside 1..8.
    """
    given = tuple(bits) if isinstance(bits, Iterable) else (bits,)
    if not given or not all(is_width(bit) for bit in given):
        raise BitWidthError(f"bit-widths {bits!r}: expected whole numbers from 1 to {MAX_BITS}, as in (2, 4)")
    return tuple(sorted({int(bit) for bit in given}))


def is_width(bits: object) -> bool:
    """Whether ``bits`` is a whole number from 1 to 8."""
    return isinstance(bits, Integral) and not isinstance(bits, bool) and 1 <= int(bits) <= MAX_BITS


Known = TypeVar("Known")


class SiteLike(Protocol):
    """What an assignment must know of a quantisation site."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def allowed(self) -> tuple[BitWidths, ...]: ...  # noqa: D102


def require_known(name: str, known: Mapping[str, Known]) -> Known:
    """Return the site of this name.

    Raises:
        UnknownSiteError: There is none.
    """
    if name not in known:
        raise UnknownSiteError(f"site {name!r} is not in this network: {did_you_mean(name, known)}")
    return known[name]


def require_allowed(site: SiteLike, widths: BitWidths) -> None:
    """Check that a site can run at ``widths``.

    Raises:
        BitWidthError: It cannot.
    """
    if widths not in site.allowed:
        allowed = ", ".join(map(str, site.allowed))
        raise BitWidthError(f"site {site.name!r} cannot run at {widths}: it allows {allowed}")


WidthsLike = BitWidths | Sequence[int] | int
"""Widths as people write them: a pair of weight and activation bits, or one number for both."""


class BitAssignment(Mapping[str, BitWidths]):
    """Immutable, hashable map: site name -> BitWidths.

    Args:
        widths: Site name -> its widths, as pairs or single numbers.

    Raises:
        BitWidthError: Widths are neither a pair of whole numbers nor one.
    """

    __slots__ = ("_hash", "_widths")

    def __init__(self, widths: Mapping[str, WidthsLike]) -> None:
        self._widths = {
            site: pair if isinstance(pair, BitWidths) else _pair(site, pair) for site, pair in widths.items()
        }
        self._hash = hash(frozenset(self._widths.items()))  # equal whatever the order, as mappings are

    def __getitem__(self, site: str) -> BitWidths:
        return self._widths[site]

    def __iter__(self) -> Iterator[str]:
        return iter(self._widths)

    def __len__(self) -> int:
        return len(self._widths)

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"BitAssignment({', '.join(f'{site}={widths}' for site, widths in self._widths.items())})"

    @classmethod
    def uniform(cls, sites: Sequence[SiteLike], bits: int | BitWidths) -> BitAssignment:
        """Give every site ``bits`` (one number: the same for weights and activations); pinned sites keep theirs.

        Raises:
            BitWidthError: A site that is not pinned does not allow ``bits``.
        """
        widths = bits if isinstance(bits, BitWidths) else BitWidths.tied(bits)
        return cls({site.name: _uniform_widths(site, widths) for site in sites})

    @classmethod
    def random(cls, sites: Sequence[SiteLike], generator: np.random.Generator) -> BitAssignment:
        """Draw each site's widths evenly from those that it allows."""
        return cls({site.name: site.allowed[int(generator.integers(len(site.allowed)))] for site in sites})

    @classmethod
    def from_dict(cls, widths: Mapping[str, Sequence[int]]) -> BitAssignment:
        """Build from ``{site: (weight, activation)}``, as JSON holds it.

        Raises:
            BitWidthError: A value is not a pair of whole numbers.
        """
        return cls(widths)

    def checked(self, sites: Sequence[SiteLike]) -> BitAssignment:
        """Return this assignment in the order of ``sites``.

        Raises:
            UnknownSiteError: A name is unknown, or a site has no widths.
            BitWidthError: A site does not allow its widths.
        """
        known = {site.name: site for site in sites}
        for name, widths in self._widths.items():
            require_allowed(require_known(name, known), widths)
        for name in known:
            if name not in self._widths:
                raise UnknownSiteError(f"site {name!r} has no widths in this assignment: give every site one")
        return BitAssignment({name: self._widths[name] for name in known})


def _uniform_widths(site: SiteLike, widths: BitWidths) -> BitWidths:
    if len(site.allowed) == 1:
        return site.allowed[0]
    require_allowed(site, widths)
    return widths


def _pair(site: str, given: WidthsLike) -> BitWidths:
    try:
        weight, activation = given if isinstance(given, Sequence) else (given, given)
        return BitWidths(operator.index(weight), operator.index(activation))
    except (TypeError, ValueError):
        raise BitWidthError(
            f"site {site!r}: expected (weight bits, activation bits), or one number for both; got {given!r}"
        ) from None
