"""A network of one bit as it runs without floats where it can: signs packed from one convolution to the next.

What integer limits cannot stand for (a real-valued shortcut, an average, layers of more bits) stays torch's, and
equals the original to the bit; ``real_valued_tensors`` names it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, fx, nn

from bitmixer.bitwidths import BitWidths
from bitmixer.errors import DatapathError, QuantizerError, UnsupportedNetworkError
from bitmixer.kernels.signs import CountLimits, Reals
from bitmixer.layers import AbsorbedReLU, MixedLinear, Site, ThermometerCode, TransitionalNorm
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.operations import module_of
from bitmixer.packed.layer import PackedForm, PackedLayer, packed_weights
from bitmixer.quantizers.binary import BinaryActivationQuantizer
from bitmixer.requantization import Chain, chains

ONE_BIT = BitWidths(1, 1)


class PackedNetwork(nn.Module):
    """A network whose one-bit layers are packed; made by :func:`pack`, or read from a file.

    Args:
        network: The network, at the widths that it shall have; it is taken over.
        forms: What each of its one-bit sites computes with.

    Attributes:
        body: The traced network: packed layers, and what is left in real numbers.
    """

    def __init__(self, network: MetaQuantizedNetwork, forms: Mapping[str, PackedForm]) -> None:
        super().__init__()
        self.body = network.body.eval()
        leads = chains(network)
        nodes = {str(node.target): node for node in self.body.graph.nodes if node.op == "call_module"}
        for name, form in forms.items():
            node, lead = nodes[name], leads[name]
            _set_module(self.body, name, PackedLayer(form, is_linear=isinstance(module_of(node), MixedLinear)))
            read = node.all_input_nodes[0]
            if form.thresholds.shape[1] > 1:  # they stand for the thermometer code
                node.replace_input_with(read, read.all_input_nodes[0])
            if form.limits is not None:
                assert isinstance(lead, Chain)
                lead.consumer.replace_input_with(lead.consumer.all_input_nodes[0], node)
        self.body.graph.eliminate_dead_code()
        self.body.delete_all_unused_submodules()
        for path, module in list(self.body.named_modules()):
            if isinstance(module, TransitionalNorm):
                module.norms = nn.ModuleDict({module.current: module.norms[module.current]})
            elif isinstance(module, AbsorbedReLU):  # would keep the layers that it steps aside for
                _set_module(self.body, path, nn.ReLU())
        self.body.recompile()

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (inputs, classes).

        Raises:
            DatapathError: An input is no number.
            MissingExtraError: numba is not installed.
        """
        if x.isnan().any():
            raise DatapathError("a value that is no number has no sign: look for it in the inputs")
        result: Tensor = self.body(x)
        return result

    @property
    def layers(self) -> dict[str, PackedLayer]:
        """The packed layers, by the names of their sites."""
        return {name: layer for name, layer in self.body.named_modules() if isinstance(layer, PackedLayer)}

    @torch.no_grad()
    def real_valued_tensors(self, x: Tensor) -> tuple[str, ...]:
        """Return what computes a tensor of floats behind the first signs, in the order of computation, seen in a run.

        Args:
            x: Inputs to run.
        """
        watched = _Watched(self.body)
        watched.run(x)
        return tuple(watched.real)


class _Watched(fx.Interpreter):
    """Notes every node behind the first packed layer whose result is real-valued."""

    def __init__(self, body: fx.GraphModule) -> None:
        super().__init__(body)
        self.real: list[str] = []
        self._met_signs = False

    def run_node(self, n: fx.Node) -> object:
        result: object = super().run_node(n)
        self._met_signs |= isinstance(module_of(n), PackedLayer)
        if self._met_signs and isinstance(result, Tensor) and result.is_floating_point() and n.op != "output":
            self.real.append(str(n.target) if n.op == "call_module" else n.name)
        return result


def pack(network: MetaQuantizedNetwork) -> PackedNetwork:
    """Return a copy of a network under its current assignment with its one-bit layers packed.

    Layers of other widths, and those of one bit that counts from 0, stay as they are.

    Raises:
        QuantizerError: The quantisers are off.
        UnsupportedNetworkError: No layer multiplies signs with signs, or one cannot be packed.
    """
    if not all(site.layer.quantize_weights and site.layer.quantize_activations for site in network.sites):
        raise QuantizerError("a network with its quantisers off has no signs to pack: call network.quantize()")
    network = copy.deepcopy(network).eval()
    nodes = {str(node.target): node for node in network.body.graph.nodes if node.op == "call_module"}
    leads = chains(network)
    forms = {
        site.name: _form(site.name, site.layer, nodes[site.name], leads[site.name])
        for site in network.sites
        if multiplies_signs(site.layer)
    }
    if not forms:
        raise UnsupportedNetworkError(
            "no layer multiplies signs with signs: assign (1, 1) to a network of quantizer 'binary'"
        )
    return PackedNetwork(network, forms)


def multiplies_signs(site: Site) -> bool:
    """Whether a site's weights and activations are signs at its current widths."""
    return site.widths == ONE_BIT and isinstance(site.activation_quantizer, BinaryActivationQuantizer)


def _form(name: str, site: Site, node: fx.Node, lead: Chain | str) -> PackedForm:
    site.set_quantizers()
    kernels = packed_weights(site, name)
    leads_to_signs = isinstance(lead, Chain) and multiplies_signs(lead.sites[1])
    scale = site.scale().detach().reshape(-1).expand(len(kernels.words))
    return PackedForm(
        kernels=kernels,
        thresholds=_thresholds(site, kernels.channels, node.all_input_nodes[0]),
        limits=CountLimits.of(lead.thresholds(), kernels.depth) if leads_to_signs and isinstance(lead, Chain) else None,
        scale=scale.float().numpy().copy(),
        bias=None if site.bias is None else site.bias.detach().float().numpy(),
    )


def _thresholds(site: Site, channels: int, read: fx.Node) -> Reals:
    """Return what real numbers are compared with, shape (channels, thresholds of each)."""
    assert isinstance(site.activation_quantizer, BinaryActivationQuantizer)
    own = site.activation_quantizer.thresholds.detach().reshape(-1).expand(channels).float().numpy()
    encoder = module_of(read)
    if not (isinstance(encoder, ThermometerCode) and len(read.users) == 1):
        return own[:, None].copy()
    # The code is -1/2 or +1/2: a threshold outside of these makes its sign constant.
    of_image = encoder.thresholds.detach().float().numpy()
    met = np.where(own > 0.5, np.inf, np.where(own <= -0.5, -np.inf, of_image))
    return met.astype(np.float32).reshape(-1, encoder.levels)


def _set_module(body: fx.GraphModule, name: str, module: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(body.get_submodule(parent), attribute, module)
