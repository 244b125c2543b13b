"""Training in eight-bit floats.

Source: Mellempudi et al., "Mixed Precision Training With 8-bit Floating Point", arXiv 1905.12334: weights, activations,
errors and gradients have eight bits in all three products of a layer, sums have 32; the weights that the optimiser
changes have 16 and are rounded at random; the loss is scaled, by never less than a minimum that rises.

The formats are emulated unless torch's own types are asked for: rounded values are held as float32 (as bfloat16 where
products are), which multiplies them exactly. Norms, joins and the loss compute with real numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bitmixer.errors import TrainingError
from bitmixer.layers import Site
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.quantizers.float8 import round_to_format
from bitmixer.quantizers.float_formats import E4M3, E5M2, FLOAT16, FloatFormat
from bitmixer.training.arithmetic import Arithmetic
from bitmixer.training.float8_products import EMULATED, LayerProducts, Multiplier, Rounders
from bitmixer.training.float8_settings import Float8
from bitmixer.training.loss_scaling import LossScaler
from bitmixer.training.optimizer import Optimizer
from bitmixer.training.ranks import Ranks
from bitmixer.training.scaled_products import ScaledProducts, require_scaled_mm

Convolution = nn.Conv1d | nn.Conv2d
ROUNDING_STREAM = 8
"""Separates the randomness of rounding from that of images and widths."""


class Float8Arithmetic(Arithmetic):
    """Products of eight-bit floats.

    Args:
        network: The network that is trained.
        settings: Formats, roundings, exempt layers and loss scaling.
        seed: Of all rounding at random.
        ranks: This process among all that train together.
    """

    def __init__(self, network: nn.Module, settings: Float8, *, seed: int, ranks: Ranks) -> None:
        self._network = network
        self._settings = settings
        self._seed = seed
        self._ranks = ranks
        self._scaler = LossScaler(settings.loss_scaling)
        self._own = torch.Generator(ranks.device)  # each process rounds its share of a batch
        self._shared = torch.Generator(ranks.device)  # all processes round the same weights alike
        multiplier = self._multiplier()
        self._products = {
            name: LayerProducts(self._rounders(), _codes_read_by(layer), multiplier) for name, layer in self._layers()
        }

    @property
    def loss_scale(self) -> float:  # type: ignore[override]
        """The loss of a step is multiplied by this."""
        return self._scaler.scale

    def begin_epoch(self, number: int) -> None:
        """Seed the rounding of an epoch, so that a training can be taken up at any of them."""
        self._own.manual_seed(self._seed_of(number, self._ranks.rank + 1))
        self._shared.manual_seed(self._seed_of(number, 0))
        for products in self._products.values():
            products.underflow = type(products.underflow)()

    @contextmanager
    def products(self, *, is_counted: bool) -> Iterator[None]:
        """Let the layers multiply eight-bit floats, forward and backward."""
        layers = dict(self._layers())
        for name, products in self._products.items():
            products.is_counted = is_counted
            _attach(layers[name], products)
        try:
            yield
        finally:
            for name in self._products:
                _detach(layers[name])

    def step(self, optimizer: Optimizer, *, done: float) -> None:
        """Take the scale out of the gradients and change the weights, unless a gradient is not finite."""
        gradients = [p.grad for p in self._network.parameters() if p.grad is not None]
        overflowed = not all(bool(gradient.sum().isfinite()) for gradient in gradients)
        if not overflowed:
            torch._foreach_mul_(gradients, 1.0 / self.loss_scale)
            optimizer.step()
            self._round(optimizer.decaying)
        self._scaler.update(overflowed=overflowed, done=done)

    def measured(self) -> dict[str, Any]:
        """Return the loss scale, the steps skipped so far, and each layer's share of errors lost where counted."""
        lost = {name: products.underflow.share for name, products in self._products.items()}
        return {"loss_scale": self.loss_scale, "skipped_steps": self._scaler.skipped, "lost_errors": lost}

    def state_dict(self) -> dict[str, float]:
        """Return where the loss scale stands; all else follows from the seed and the epoch."""
        return self._scaler.state_dict()

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Take up such a state."""
        self._scaler.load_state_dict(state)

    def _layers(self) -> list[tuple[str, nn.Module]]:
        """Return the layers that are not exempt, by name."""
        layers = _layers_of(self._network)
        first = 1 if "first" in self._settings.exempt else 0
        return layers[first : len(layers) - ("last" in self._settings.exempt)]

    def _multiplier(self) -> Multiplier:
        if self._settings.products == "emulated":
            return EMULATED
        require_scaled_mm(self._ranks.device)
        for name, layer in self._layers():
            if getattr(layer, "groups", 1) > 1 or dict(layer.named_parameters())["weight"].dim() == 3:
                raise TrainingError(
                    f"layer {name!r}: scaled_mm has no groups and no sequences: choose emulated products"
                )
        return ScaledProducts(*_formats(self._settings))

    def _rounders(self) -> Rounders:
        forward, backward = _formats(self._settings)
        rounding = self._settings.rounding

        def to(form: FloatFormat, how: str) -> Callable[[Tensor], Tensor]:
            generator = self._own if how == "stochastic" else None
            return functools.partial(round_to_format, form=form, generator=generator, saturate=self._settings.saturate)

        return Rounders(
            weights=to(forward, rounding.weights), activations=to(forward, rounding.activations),
            errors=to(backward, rounding.errors), gradients=to(backward, rounding.gradients),
        )  # fmt: skip

    @torch.no_grad()
    def _round(self, masters: list[Tensor]) -> None:
        """Round master weights in place, once the optimiser has changed them."""
        if self._settings.master == "float16":
            generator = self._shared if self._settings.rounding.master == "stochastic" else None
            for weight in masters:
                weight.copy_(round_to_format(weight, FLOAT16, generator=generator))

    def _seed_of(self, epoch: int, stream: int) -> int:
        sequence = np.random.SeedSequence([self._seed, ROUNDING_STREAM, epoch, stream])
        return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def _formats(settings: Float8) -> tuple[FloatFormat, FloatFormat]:
    """Return the format of weights and activations, and that of errors and gradients."""
    return (E5M2 if settings.format == "e5m2" else E4M3), (E4M3 if settings.format == "e4m3" else E5M2)


def _layers_of(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the layers with weights: of a meta-quantized network in the order of issue, else as they were defined."""
    if isinstance(network, MetaQuantizedNetwork):
        return [(site.name, site.layer) for site in network.sites]
    return [(name, module) for name, module in network.named_modules() if isinstance(module, Convolution | nn.Linear)]


def _codes_read_by(layer: nn.Module) -> Callable[[], tuple[bool, bool]]:
    if isinstance(layer, Site):
        return lambda: (layer.quantize_activations, layer.quantize_weights)
    return lambda: (False, False)


def _attach(layer: nn.Module, products: LayerProducts) -> None:
    """Let a layer multiply by ``products``, until :func:`_detach`: an attribute of its own hides the class's method."""
    own = vars(layer)
    if isinstance(layer, Site):
        own["multiply"] = products.linear if layer.weight.dim() == 2 else products.convolve
    elif isinstance(layer, nn.Linear):
        own["forward"] = lambda x: products.linear(x, layer.weight, layer.bias)
    else:
        assert isinstance(layer, Convolution)
        if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            raise TrainingError(f"{layer}: eight-bit floats need padding with zeros, of a number")
        geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)
        own["forward"] = lambda x: products.convolve(x, layer.weight, layer.bias, *geometry)


def _detach(layer: nn.Module) -> None:
    for hidden in ("multiply", "forward"):
        vars(layer).pop(hidden, None)
