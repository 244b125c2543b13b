"""A meta-quantized network: one set of weights, every layer able to switch its bit-width at run time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor, fx, nn

from bitmixer.bitwidths import BitAssignment, BitWidths, Datapath, WidthsLike, checked_datapath
from bitmixer.errors import QuantizerError
from bitmixer.layers import ExactReduction, Site, StoredTensor, TransitionalNorm
from bitmixer.networks.module_form import ModuleForm
from bitmixer.quantizers import Quantization, Quantizer

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = TypeVar("Kind", bound=nn.Module)

ANY = 0
"""Stands in a norm's key for bits that do not choose it, as after the last layer."""


class NamedSite:
    """A site under its name, as assignments see it."""

    def __init__(self, name: str, layer: Site) -> None:
        self.name = name
        self.layer = layer

    @property
    def allowed(self) -> tuple[BitWidths, ...]:
        """Widths that the site can run at."""
        return self.layer.allowed


class MetaQuantizedNetwork(nn.Module):
    """The twin of an ``nn.Module`` whose layers can change their bit-widths between two forward passes.

    Made by :func:`bitmixer.conversion.convert`. It starts with its quantisers off, where it equals the original bit for
    bit; :meth:`quantize` turns them on.

    Attributes:
        body: The traced network, with sites, transitional norms and stored tensors in place.
        sites: The layers with weights, in the order of issue.
        transitions: For every transitional norm (by name) the producer and the key consumer whose bits choose it;
            ``None`` where neither does.
        bits: Widths that sites which are not pinned can take.
        tied: Whether a site's weights and activations share one width.
        residual_bits: Width of stored tensors.
        signed_input: Whether the network's input can be negative.
        quantization: How weights and activations are quantised.
        form: What it takes to build the network again.
        input_shape: Shape of one input, where the network's origin tells it.
    """

    def __init__(
        self,
        body: fx.GraphModule,
        *,
        sites: Iterable[str],
        transitions: Mapping[str, tuple[str | None, str | None]],
        bits: tuple[int, ...],
        tied: bool,
        residual_bits: int,
        signed_input: bool,
        quantization: Quantization,
        form: ModuleForm,
    ) -> None:
        super().__init__()
        self.body = body
        self.bits = bits
        self.tied = tied
        self.residual_bits = residual_bits
        self.signed_input = signed_input
        self.quantization = quantization
        self.form = form
        self.input_shape: tuple[int, ...] | None = None
        self.sites = tuple(NamedSite(name, _submodule(body, name, Site)) for name in sites)  # type: ignore[type-abstract]
        self.transitions = dict(transitions)
        self._norms = [(_submodule(body, n, TransitionalNorm), *pair) for n, pair in transitions.items()]
        self.assign(self.uniform(max(bits)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits under the current assignment."""
        result: Tensor = self.body(x)
        return result

    @property
    def assignment(self) -> BitAssignment:
        """The widths of every site."""
        return BitAssignment({site.name: site.layer.widths for site in self.sites})

    @property
    def uniform_widths(self) -> tuple[BitWidths, ...]:
        """The widths that all sites which are not pinned can take together, ascending."""
        pairs = [BitWidths(weight, activation) for weight in self.bits for activation in self.bits]
        return tuple(pair for pair in pairs if pair.weight == pair.activation or not self.tied)

    def uniform(self, bits: int | BitWidths) -> BitAssignment:
        """Return the assignment of ``bits`` to every site that is not pinned."""
        return BitAssignment.uniform(self.sites, bits)

    def assign(self, assignment: Mapping[str, WidthsLike]) -> None:
        """Switch every site to its widths and every norm to its transition; copies no weights.

        Args:
            assignment: Site name -> its widths; nothing is switched unless all of them fit.

        Raises:
            UnknownSiteError: A name is unknown, or a site is missing.
            BitWidthError: A site does not allow its widths.
        """
        checked = BitAssignment(assignment).checked(self.sites)
        for site in self.sites:
            site.layer.widths = checked[site.name]
        for norm, producer, consumer in self._norms:
            norm.select(*transition(checked, producer, consumer))

    def use_datapath(self, datapath: Datapath) -> None:
        """Choose how every site multiplies its codes in evaluation.

        Raises:
            DatapathError: There is no such datapath.
        """
        checked = checked_datapath(datapath)
        for site in self.sites:
            site.layer.datapath = checked

    def quantize(self, *, weights: bool = True, activations: bool = True) -> None:
        """Turn quantisers on or off. Stored tensors count as activations.

        Raises:
            QuantizerError: Steps would be used that nothing has set: no weights were loaded, trained or calibrated.
        """
        if weights:
            _require_fitted([site.layer.weight_quantizer for site in self.sites], "weight", "calibrate_weights()")
        if activations:
            quantizers = [site.layer.activation_quantizer for site in self.sites]
            _require_fitted(quantizers, "activation", "calibrate_activations(inputs)")
        for site in self.sites:
            site.layer.quantize_weights = weights
            site.layer.quantize_activations = activations
        for module in self.body.modules():
            if isinstance(module, StoredTensor):
                module.quantize = activations
            elif isinstance(module, TransitionalNorm | ExactReduction):
                module.integer = weights and activations

    @torch.no_grad()
    def calibrate_activations(self, x: Tensor) -> None:
        """Set all activation steps from one batch that runs with quantisers off."""
        sites = [site.layer for site in self.sites]
        before = [(site.quantize_weights, site.quantize_activations) for site in sites]
        self.quantize(weights=False, activations=False)
        with self._calibrating():
            self(x)
        self.quantize(weights=before[0][0], activations=before[0][1])

    def calibrate_weights(self) -> None:
        """Set all weight steps from the weights."""
        for site in self.sites:
            site.layer.weight_quantizer.calibrate(site.layer.weight)

    def start_transitions(self) -> None:
        """Let every transition start from its producer's own-width norm (of a tied network)."""
        for norm, _, _ in self._norms:
            norm.start_transitions_from_diagonal()

    @contextmanager
    def _calibrating(self) -> Iterator[None]:
        modules = [module for module in self.body.modules() if isinstance(module, Site | StoredTensor)]
        for module in modules:
            module.calibrating = True
        try:
            yield
        finally:
            for module in modules:
                module.calibrating = False


def transition(assignment: Mapping[str, BitWidths], producer: str | None, consumer: str | None) -> tuple[int, int]:
    """Return the key of the norm between two sites, of which either may not count."""
    before = ANY if producer is None else assignment[producer].weight
    after = ANY if consumer is None else assignment[consumer].activation
    return before, after


def _require_fitted(quantizers: Sequence[Quantizer], kind: str, remedy: str) -> None:
    """Check that at least one has a step that is not 1; a layer that only ever saw zeros may keep its 1."""
    if not any(quantizer.is_fitted for quantizer in quantizers):
        raise QuantizerError(
            f"no {kind} step was ever set, all are 1: call network.{remedy}, train the network or load a state"
        )


def _submodule(body: nn.Module, name: str, kind: type[Kind]) -> Kind:
    module = body.get_submodule(name)
    assert isinstance(module, kind)
    return module
