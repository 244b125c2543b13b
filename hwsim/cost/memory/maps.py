"""Which tensors stay on chip between the site that writes them and those that read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bitmixer.graph import NETWORK_INPUT, LayerGraph
from hwsim.cost.memory.buffers import Buffers


@dataclass(frozen=True, slots=True, kw_only=True)
class OnChip:
    """What stays on chip; every site's reads and writes follow from it.

    Attributes:
        stream_bits: For each site, the widest width at which the results written for it stay; 0 where none does.
        copies: For each site, whether the copy that it stores stays.
        reads_copies: For each site, whether the stored copies in its input stay.
        reads_operands: For each site, whether the operands that wait for it stay.
        reserved_bits: For each site, the most bits that stay while it runs.
    """

    stream_bits: tuple[int, ...]
    copies: tuple[bool, ...]
    reads_copies: tuple[bool, ...]
    reads_operands: tuple[bool, ...]
    reserved_bits: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptTensor:
    """A tensor that stays on chip, from the issue of its writer to the end of its last reader.

    Attributes:
        writer: Site that writes it.
        last_reader: Site that reads it last.
        elements: Of all inputs of a frame.
        widest_bits: The widest width at which it stays.
        width_bits: Its width; ``None`` where that is the activation bits of its reader.
    """

    writer: int
    last_reader: int
    elements: int
    widest_bits: int
    width_bits: int | None

    def bits(self, activation_bits: int) -> int:
        """Return what it takes on chip, given the activation bits of its last reader; 0 where it does not stay."""
        width = activation_bits if self.width_bits is None else self.width_bits
        return self.elements * width if width <= self.widest_bits else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tensor:
    """Something that may stay: pieces (first site, last site, elements) that stay or go together, at rising widths."""

    pieces: tuple[tuple[int, int, int], ...]
    widths: tuple[int, ...]


def on_chip(
    graph: LayerGraph, buffers: Buffers | None, *, inputs_per_frame: int, stream_bits: int | None = None
) -> OnChip:
    """Decide once, for all widths, what stays.

    Half of the activation buffer keeps tensors, the other half is for tiles. A tensor lives from its writer's issue to
    its last reader's end, for all inputs of the frame. Widths can change in the middle of a frame, so what may stay at
    a width must fit beside whatever else may stay at the same time, each at the widest width granted to it. Room is
    granted in the order of issue, first to every tensor at its lowest width, then to the next widths. Writer and reader
    see the same answer, since the grant depends on nothing but the tensor's own width.

    Args:
        graph: The network.
        buffers: The buffers; nothing stays without.
        inputs_per_frame: Inputs of a frame.
        stream_bits: Width of every tensor between two sites, where it is not the reader's.
    """
    sites = len(graph.layers)
    if buffers is None:
        return OnChip(
            stream_bits=(0,) * sites, copies=(False,) * sites, reads_copies=(False,) * sites,
            reads_operands=(False,) * sites, reserved_bits=(0,) * sites,
        )  # fmt: skip
    streams, copies = _streams(graph, stream_bits), _copies(graph)
    granted, reserved = _grant(graph, [*streams.values(), *copies], buffers, inputs_per_frame)
    stays = {
        writer
        for tensor, width in zip(copies, granted[len(streams) :], strict=True)
        for writer, _, _ in tensor.pieces
        if width
    }
    widest = dict(zip(streams, granted, strict=False))
    return OnChip(
        stream_bits=tuple(widest.get(site, 0) for site in range(sites)),
        copies=tuple(site in stays for site in range(sites)),
        reads_copies=tuple(_all_stay(_read_copies(graph, site), stays) for site in range(sites)),
        reads_operands=tuple(_all_stay(_waiting_operands(graph, site), stays) for site in range(sites)),
        reserved_bits=tuple(reserved),
    )


def kept_tensors(
    graph: LayerGraph, buffers: Buffers, *, inputs_per_frame: int, stream_bits: int | None = None
) -> tuple[KeptTensor, ...]:
    """Return the tensors that may stay; the arguments are those of ``on_chip``."""
    streams, copies = [*_streams(graph, stream_bits).values()], _copies(graph)
    granted, _ = _grant(graph, [*streams, *copies], buffers, inputs_per_frame)
    fixed = [stream_bits] * len(streams) + [graph.residual_bits] * len(copies)
    return tuple(
        KeptTensor(
            writer=first, last_reader=last, elements=elements * inputs_per_frame, widest_bits=widest, width_bits=width
        )
        for tensor, widest, width in zip([*streams, *copies], granted, fixed, strict=True)
        if widest
        for first, last, elements in tensor.pieces
    )


def _grant(graph: LayerGraph, tensors: Sequence[_Tensor], buffers: Buffers, inputs: int) -> tuple[list[int], list[int]]:
    """Return the widest width granted to each tensor, and the bits that stay while each site runs."""
    room, granted, reserved = buffers.activation_bits // 2, [0] * len(tensors), [0] * len(graph.layers)
    order = sorted(range(len(tensors)), key=lambda index: tensors[index].pieces[0])
    for level in range(max((len(tensor.widths) for tensor in tensors), default=0)):
        for index in order:
            widths = tensors[index].widths
            if level >= len(widths) or granted[index] != (widths[level - 1] if level else 0):
                continue
            more = (widths[level] - granted[index]) * inputs
            extra: dict[int, int] = {}
            for first, last, elements in tensors[index].pieces:
                for site in range(first, last + 1):
                    extra[site] = extra.get(site, 0) + elements * more
            if all(reserved[site] + bits <= room for site, bits in extra.items()):
                granted[index] = widths[level]
                for site, bits in extra.items():
                    reserved[site] += bits
    return granted, reserved


def _streams(graph: LayerGraph, stream_bits: int | None) -> Mapping[int, _Tensor]:
    """Return, by reader, what sites write at their key consumer's width; the network's input comes from DRAM."""
    found = {}
    for reader, layer in enumerate(graph.layers):
        writers = [
            (writer, reader, other.stream_write_elements)
            for writer, other in enumerate(graph.layers)
            if other.key_consumer == layer.name and other.stream_write_elements
        ]
        if writers and NETWORK_INPUT not in layer.producers:
            widths = {pair.activation for pair in layer.allowed} if stream_bits is None else {stream_bits}
            found[reader] = _Tensor(pieces=tuple(writers), widths=tuple(sorted(widths)))
    return found


def _copies(graph: LayerGraph) -> list[_Tensor]:
    """Return the stored copies whose readers are known; those of one reader stay or go together."""
    groups: dict[int, set[int]] = {
        site: {site} for site, layer in enumerate(graph.layers) if layer.residual_write_elements
    }
    last: dict[int, int] = {}
    for reader in range(len(graph.layers)):
        for writers in (_read_copies(graph, reader), _waiting_operands(graph, reader)):
            if writers is None:
                return []
            for writer in writers:
                last[writer] = reader
                together = groups[writer] | groups[writers[0]]
                for member in together:
                    groups[member] = together
    distinct = {min(group): sorted(group) for group in groups.values() if group <= last.keys()}
    return [
        _Tensor(
            pieces=tuple((site, last[site], graph.layers[site].residual_write_elements) for site in members),
            widths=(graph.residual_bits,),
        )
        for members in distinct.values()
    ]


def _read_copies(graph: LayerGraph, reader: int) -> list[int] | None:
    """Return the writers of the stored copies in a site's input; of a join's result, the operand issued last."""
    layer = graph.layers[reader]
    writers = [graph.index[name] for name in layer.producers if name != NETWORK_INPUT]
    written = [site for site in sorted(writers) if graph.layers[site].residual_write_elements]
    return _matching(graph, [written[-1:], written], layer.residual_input_elements)


def _waiting_operands(graph: LayerGraph, reader: int) -> list[int] | None:
    """Return the writers of the operands that wait for a site's results."""
    name = graph.layers[reader].name
    waiting = {
        graph.index[operand]
        for join in graph.joins
        if name in join.operands and max(map(graph.index.__getitem__, join.operands)) == reader
        for operand in join.operands
        if operand != name
    }
    return _matching(graph, [sorted(waiting)], graph.layers[reader].residual_read_elements)


def _matching(graph: LayerGraph, choices: Sequence[list[int]], elements: int) -> list[int] | None:
    """Return the first choice of writers who store as many elements as are read; ``None`` where none does."""
    if not elements:
        return []
    for writers in choices:
        if sum(graph.layers[writer].residual_write_elements for writer in writers) == elements:
            return writers
    return None


def _all_stay(writers: list[int] | None, stays: set[int]) -> bool:
    return bool(writers) and stays.issuperset(writers or ())
