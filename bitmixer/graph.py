"""The layer graph: what hardware must know of a network. Plain data: no torch here.

A *site* is a layer with weights whose bit-widths may be chosen. Between two sites lie only
operations of the vector unit (norm, activation, pool, join, concatenation), which are charged to the site
that drains into them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bitmixer.bitwidths import BitAssignment, BitWidths, WeightCodes
from bitmixer.errors import GraphFormatError, UnknownSiteError, did_you_mean

if TYPE_CHECKING:
    import networkx as nx

FORMAT_VERSION = 2
JoinKind = Literal["addition", "subtraction", "multiplication", "matrix_product", "attention"]
NETWORK_INPUT = "input"
LOGIT_BITS = 32
"""Width of the network's results, which leave as full accumulators."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """The sparse product of an aggregation: each target sums messages of the sources of its edges.

    Both histograms are of one degree class of sources; they are all that traffic and cycles depend on.

    Attributes:
        heads: Heads, each with coefficients of its own; messages are split among them.
        message_elements: Elements of a message, all heads together.
        fan_in: (edges, targets): so many targets have so many edges from these sources; ascending, from 1.
        fan_out: (edges, sources): so many of these sources send along so many edges; ascending, from 1.
        index_bits: Bits of the column index that names the source of an edge.
    """

    heads: int
    message_elements: int
    fan_in: tuple[tuple[int, int], ...]
    fan_out: tuple[tuple[int, int], ...]
    index_bits: int

    @property
    def edges(self) -> int:
        """Number of edges."""
        return sum(edges * targets for edges, targets in self.fan_in)

    @property
    def targets(self) -> int:
        """Targets with an edge."""
        return sum(targets for _, targets in self.fan_in)

    @property
    def sources(self) -> int:
        """Sources with an edge."""
        return sum(sources for _, sources in self.fan_out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One site, in the order of issue. Sizes are elements per input of the network.

    Attributes:
        name: Path of the module in the network, for example ``layer1.0.conv1``.
        kind: ``convolution`` or ``linear`` (a linear layer is a 1x1 convolution on a map of height 1, as wide as it
            has tokens: 1, if it reads vectors).
        stride: Along height and width; so are ``padding`` (before the first row and column) and ``dilation``.
        allowed: Widths that the site can run at; one entry means pinned.
        producers: Sites (or ``input``) whose results meet in this site's input, in joins or side by side.
        consumers: Sites that read this site's result, directly or behind a join.
        key_consumer: The consumer whose activation bits choose the norm after this site and the
            width at which its result is requantised as it drains; ``None`` before the network's output.
        is_key_consumer: Whether this site is the key consumer of the tensor that it reads (of a concatenation:
            of one of its pieces). If not, it reads the stored copy, and applies its own quantiser.
        residual_input_elements: How many of the input's elements are read as stored copies, at ``residual_bits``:
            all, where it is not the key consumer; of a concatenation, the pieces that others are keyed by.
        stream_write_elements: Results written at the key consumer's activation bits (0 while a join waits).
        residual_write_elements: Results written at ``residual_bits``: for other consumers, or for a join.
        residual_read_elements: Waiting operands read at ``residual_bits`` as this site drains into a join.
        vector_operations: Element operations (norm, activation, pool, join) done as this site drains, and on stored
            copies as it reads them; a product of two tensors counts its multiply-accumulates.
        gather: The sparse product of an aggregation over a graph, whose sizes above are those of a layer with a group
            for every edge and head; ``None`` for a dense layer.
    """

    name: str
    kind: Literal["convolution", "linear"]
    input_channels: int
    output_channels: int
    kernel_height: int
    kernel_width: int
    stride: tuple[int, int]
    padding: tuple[int, int]
    groups: int
    input_height: int
    input_width: int
    output_height: int
    output_width: int
    allowed: tuple[BitWidths, ...]
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    key_consumer: str | None
    is_key_consumer: bool
    stream_write_elements: int
    residual_write_elements: int
    residual_read_elements: int
    vector_operations: int
    residual_input_elements: int = 0
    dilation: tuple[int, int] = (1, 1)
    gather: Gather | None = None

    @property
    def reduction(self) -> int:
        """Products summed into one result: kernel area times input channels of one group."""
        return self.kernel_height * self.kernel_width * self.input_channels // self.groups

    @property
    def output_positions(self) -> int:
        """Results per output channel."""
        return self.output_height * self.output_width

    @property
    def macs(self) -> int:
        """Multiply-accumulates per input of the network."""
        return self.output_positions * self.output_channels * self.reduction

    @property
    def weights(self) -> int:
        """Number of weights."""
        return self.output_channels * self.reduction

    @property
    def input_elements(self) -> int:
        """Elements of the tensor that this site reads."""
        return self.input_channels * self.input_height * self.input_width

    @property
    def pinned(self) -> bool:
        """Whether no controller can change this site's widths."""
        return len(self.allowed) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """A place where several sites' results meet element by element, or in a product of matrices."""

    name: str
    kind: JoinKind
    operands: tuple[str, ...]
    elements: int


@dataclass(frozen=True, kw_only=True)
class LayerGraph:
    """A network as hardware sees it: its sites in the order of issue, and what flows between them.

    Attributes:
        network: Name of the network.
        input_shape: Shape of one input, without the batch.
        classes: Number of logits per input.
        residual_bits: Width of every stored tensor that is not a key consumer's input.
        norm_bits: Width of one folded norm parameter (scale or shift).
        weight_codes: What the weight codes of a width are, which decides what is fetched and stored.
        layers: The sites, in the order in which the accelerator issues them.
        joins: Where results meet.
        one_pass: Whether one pass answers all inputs of a frame: a graph network's input is the graph, and what a frame
            has are queries of its nodes.
    """

    network: str
    input_shape: tuple[int, ...]
    classes: int
    residual_bits: int
    norm_bits: int = 32
    weight_codes: WeightCodes = "nested"
    layers: tuple[Layer, ...]
    joins: tuple[Join, ...]
    one_pass: bool = False

    def __post_init__(self) -> None:
        if any(layer.gather for layer in self.layers) and not self.one_pass:
            raise GraphFormatError(f"{self.network}: sites that gather need one_pass: a graph is an input by itself")

    def passes(self, inputs: int) -> int:
        """Return how many passes a frame of so many inputs takes."""
        return 1 if self.one_pass else inputs

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Site name -> position in the order of issue."""
        return {layer.name: position for position, layer in enumerate(self.layers)}

    def __getitem__(self, site: str) -> Layer:
        try:
            return self.layers[self.index[site]]
        except KeyError:
            raise UnknownSiteError(
                f"site {site!r} is not in {self.network}: {did_you_mean(site, self.index)}"
            ) from None

    @cached_property
    def commit_points(self) -> tuple[int, ...]:
        """For each site, the position of the site at whose issue its widths are fixed.

        A site is committed when the site before it in the order of issue starts (its weight planes are
        fetched ahead), or earlier when a site starts whose norm is keyed by its activation bits.
        """
        points = [max(position - 1, 0) for position in range(len(self.layers))]
        for position, layer in enumerate(self.layers):
            if layer.key_consumer is not None:
                consumer = self.index[layer.key_consumer]
                points[consumer] = min(points[consumer], position)
        return tuple(points)

    @property
    def macs(self) -> int:
        """Multiply-accumulates per input."""
        return sum(layer.macs for layer in self.layers)

    @property
    def widths(self) -> tuple[int, ...]:
        """All weight and activation bits that any site allows, ascending."""
        return tuple(sorted({bits for layer in self.layers for pair in layer.allowed for bits in pair}))

    @property
    def stored_weight_bits(self) -> int:
        """Bits of memory that hold all weights: at the highest width, or at every width where codes are independent."""
        widths = ({pair.weight for pair in layer.allowed} for layer in self.layers)
        kept = (sum(bits) if self.weight_codes == "independent" else max(bits) for bits in widths)
        return sum(layer.weights * bits for layer, bits in zip(self.layers, kept, strict=True))

    @property
    def is_fixed(self) -> bool:
        """Whether no site can change its widths."""
        return all(layer.pinned for layer in self.layers)

    @property
    def uniform_bits(self) -> tuple[int, ...]:
        """Tied widths that every site that is not pinned allows, ascending.

        A network that is pinned throughout has one assignment, which goes by the weight bits of most of its sites, the
        higher ones of equals.
        """
        free = [set(layer.allowed) for layer in self.layers if not layer.pinned]
        if not free:
            pinned = [layer.allowed[0].weight for layer in self.layers]
            return (max(pinned, key=lambda bits: (pinned.count(bits), bits)),)
        shared = set.intersection(*free)
        return tuple(sorted(widths.weight for widths in shared if widths.weight == widths.activation))

    def uniform(self, bits: int) -> BitAssignment:
        """Return the assignment of ``bits`` to every site that is not pinned."""
        return BitAssignment.uniform(self.layers, bits)

    def mean_bits(self, assignment: Mapping[str, BitWidths]) -> BitWidthsMean:
        """Return the mean weight and activation bits, weighted by multiply-accumulates."""
        weight = sum(layer.macs * assignment[layer.name].weight for layer in self.layers)
        activation = sum(layer.macs * assignment[layer.name].activation for layer in self.layers)
        return BitWidthsMean(weight / self.macs, activation / self.macs)

    def to_networkx(self) -> nx.DiGraph[str]:
        """Return the sites as a directed graph; edges carry ``key`` (reads the stream, not a stored copy)."""
        import networkx as nx

        graph: nx.DiGraph[str] = nx.DiGraph(network=self.network)
        for layer in self.layers:
            graph.add_node(layer.name, layer=layer, macs=layer.macs)
            for producer in layer.producers:
                graph.add_edge(producer, layer.name, key=layer.is_key_consumer)
        return graph

    def to_json(self) -> str:
        """Return the text of ``graph.json``."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields["layers"] = [dataclasses.asdict(layer) for layer in self.layers]
        fields["joins"] = [dataclasses.asdict(join) for join in self.joins]
        return json.dumps({"format_version": FORMAT_VERSION, **fields}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str, *, where: str = "graph.json") -> LayerGraph:
        """Read the text of a ``graph.json``.

        Raises:
            GraphFormatError: Not JSON, of another version, or not a layer graph.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise GraphFormatError(f"{where}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from None
        version = data.pop("format_version", None) if isinstance(data, dict) else None
        if version != FORMAT_VERSION:
            raise GraphFormatError(f"{where}: format_version {version!r}, expected {FORMAT_VERSION}: capture it again")
        try:
            layers = tuple(_layer(fields) for fields in data.pop("layers"))
            joins = tuple(Join(**{**join, "operands": tuple(join["operands"])}) for join in data.pop("joins"))
            data["input_shape"] = tuple(data["input_shape"])
            return cls(layers=layers, joins=joins, **data)
        except (KeyError, TypeError, ValueError) as error:
            raise GraphFormatError(f"{where}: not a layer graph: {error}; capture it again") from None

    @classmethod
    def load(cls, path: Path) -> LayerGraph:
        """Read a ``graph.json``.

        Raises:
            GraphFormatError: Missing or not a layer graph.
        """
        try:
            return cls.from_json(path.read_text(encoding="utf-8"), where=str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise GraphFormatError(f"{path}: cannot be read: {error}") from None


@dataclass(frozen=True, slots=True)
class BitWidthsMean:
    """Mean widths of an assignment, weighted by multiply-accumulates."""

    weight: float
    activation: float


def _layer(fields: Mapping[str, Any]) -> Layer:
    converted = dict(fields)
    converted["allowed"] = tuple(BitWidths(*pair) for pair in fields["allowed"])
    for name in ("producers", "consumers", "stride", "padding", "dilation"):
        converted[name] = tuple(fields[name])
    if gather := fields.get("gather"):
        pairs = {name: tuple((edges, nodes) for edges, nodes in gather[name]) for name in ("fan_in", "fan_out")}
        converted["gather"] = Gather(**{**gather, **pairs})
    return Layer(**converted)
