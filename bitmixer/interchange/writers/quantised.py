"""What has bit-widths: layers with weights, the norms behind them, tensors that wait in memory."""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx, nn

from bitmixer.errors import InterchangeError
from bitmixer.interchange.writers.export import Export
from bitmixer.layers import MixedConvolution, MixedLinear, Site, StoredTensor, TransitionalNorm
from bitmixer.layers.transitional_norm import Affine, folded
from bitmixer.operations import module_of, place
from bitmixer.quantizers import BinaryActivationQuantizer, DoReFaWeightQuantizer


def site(export: Export, node: fx.Node) -> str:
    """Write a layer with weights: whole numbers times whole numbers, then one multiplication, then the bias."""
    site, name, shape = module_of(node), str(node.target), export.shape(node)
    assert isinstance(site, Site)
    activation, weight = site.activation_quantizer, site.weight_quantizer
    activation.bits, weight.bits = site.widths.activation, site.widths.weight
    if isinstance(activation, BinaryActivationQuantizer):
        raise InterchangeError(
            f"{place(node)}: {name}: signs about learned thresholds, padded with ones, have no QONNX form: "
            "convert with another quantizer than 'binary'"
        )
    codes, step = weight.encode(site.weight)
    axes, width = site.weight.dim() - 2, site.widths.weight
    if isinstance(site, MixedLinear):
        codes = codes.T
    constant = export.constant(f"{name}.weight", codes)
    operands = (
        export.codes(node, f"{name}.input", activation),
        export.writer.quantise(
            constant,
            f"{name}.weight_codes",
            codes.shape,
            bits=width,
            signed=True,
            only_odd=isinstance(weight, DoReFaWeightQuantizer),
        ),
    )
    if isinstance(site, MixedConvolution):
        sums = export.writer.operation("Conv", operands, name, shape, **_convolution(site))
    else:
        sums = export.writer.operation("MatMul", operands, name, shape)
    scale = (step.reshape(()) if step.numel() == 1 else _per_channel(step, axes)) * activation.step()
    scaled = export.by_constant("Mul", sums, f"{name}.scale", scale, shape)
    if site.bias is None:
        return scaled
    return export.by_constant("Add", scaled, f"{name}.bias", _per_channel(site.bias, axes), shape)


def norm(export: Export, node: fx.Node) -> str:
    """Write the norm of the current transition, folded to a scale and a shift."""
    transitional, name, shape = module_of(node), str(node.target), export.shape(node)
    assert isinstance(transitional, TransitionalNorm)
    norm = transitional.norms[transitional.current]
    if isinstance(norm, Affine):
        (scale, shift), axes = (norm.weight.detach(), norm.bias.detach()), norm.trailing_axes
    elif isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
        (scale, shift), axes = folded(norm), len(shape) - 2
    else:
        raise InterchangeError(f"{place(node)}: {name}: a norm with statistics of each sample has no QONNX form")
    scale, shift = _per_channel(scale, axes), _per_channel(shift, axes)
    scaled = export.by_constant("Mul", export.operands(node)[0], f"{name}.scale", scale, shape)
    return export.by_constant("Add", scaled, f"{name}.shift", shift, shape)


def stored(export: Export, node: fx.Node) -> str:
    """Write the rounding of a tensor that waits in memory."""
    stored, name = module_of(node), str(node.target)
    assert isinstance(stored, StoredTensor)
    codes = export.codes(node, name, stored.quantizer)
    return export.by_constant("Mul", codes, f"{name}.value", stored.quantizer.step(), export.shape(node))


def _convolution(site: MixedConvolution) -> dict[str, Any]:
    assert not isinstance(site.padding, str)
    return {
        "kernel_shape": list(site.weight.shape[2:]), "strides": list(site.stride), "pads": list(site.padding) * 2,
        "dilations": list(site.dilation), "group": site.groups,
    }  # fmt: skip


def _per_channel(values: Tensor, trailing_axes: int) -> Tensor:
    """Return values per channel in the form that broadcasts over the axes behind the channels."""
    return values.reshape(-1, *[1] * trailing_axes)
