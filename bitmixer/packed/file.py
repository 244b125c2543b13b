"""Packed networks in one file: safetensors, one bit per weight of a packed layer, no code and no float weights.

The header says what the file is, its version, and how to build the network. Tensors of a packed layer are named
``SITE/words`` (bits of the weights, eight to a byte), ``SITE/thresholds``, ``SITE/limits`` and ``SITE/flips`` or
``SITE/scale`` and ``SITE/bias``. ``SITE/codes`` are the whole-number weights of a layer of more bits. All else is
real-valued (norms, steps, slopes) and has torch's name.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bitmixer.errors import CheckpointError, did_you_mean
from bitmixer.kernels.signs import CountLimits, SignKernels, SignMaps
from bitmixer.layers import MixedConvolution, Site
from bitmixer.layers.site import whole_numbers
from bitmixer.networks.checkpoint import Checkpoint, NetworkForm, load_network, original_of, twin_of
from bitmixer.output_files import write_output
from bitmixer.packed.layer import PackedForm
from bitmixer.packed.network import PackedNetwork, pack

FORMAT = "bitmixer packed network"
FORMAT_VERSION = "1"

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a packed file says of its network.

    Attributes:
        name: Name of the checkpoint that was packed.
        form: How to build the network.
        input_shape: Shape of one input.
        data: What it was trained on, where that is known.
        sites: Packed sites and whether integer limits follow them.
    """

    name: str
    form: NetworkForm
    input_shape: tuple[int, ...]
    data: str | None
    sites: dict[str, bool]


def pack_checkpoint(checkpoint: Checkpoint, file: Path) -> PackedNetwork:
    """Pack a trained network at one bit, write it, and return it.

    Raises:
        CheckpointError: The checkpoint is damaged, or a geometry without weights.
        BitWidthError: The network cannot run at one bit.
        UnsupportedNetworkError: Its one bit is no sign, or a layer cannot be packed.
        OutputError: The file cannot be written.
    """
    network = load_network(checkpoint)
    assert isinstance(checkpoint.form, NetworkForm)
    network.assign(network.uniform(1))
    packed = pack(network)
    description = Description(
        name=checkpoint.name,
        form=checkpoint.form,
        input_shape=tuple(checkpoint.graph.input_shape),
        data=(checkpoint.metrics or {}).get("data"),
        sites={name: layer.form.limits is not None for name, layer in packed.layers.items()},
    )
    write_output(file, packed_bytes(packed, description))
    return packed


def packed_bytes(packed: PackedNetwork, description: Description) -> bytes:
    """Return the content of a packed network's file."""
    from safetensors.numpy import save

    tensors = _tensors(packed)
    header = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "network": json.dumps(dataclasses.asdict(description)),
        "sha256": _sha256(tensors),
    }
    return save(tensors, metadata=header)


def load_packed(file: Path) -> tuple[PackedNetwork, Description]:
    """Return a packed network and what its file says of it.

    Raises:
        CheckpointError: It is no such file, of another version, incomplete or changed.
    """
    header, tensors = _read(file)
    try:
        description = _description(header)
        network = twin_of(original_of(description.form), description.form).eval()
        network.assign(network.uniform(1))
        layers = {site.name: site.layer for site in network.sites}
        forms = {
            name: _form(name, tensors, _known(name, layers), limited) for name, limited in description.sites.items()
        }
        packed = PackedNetwork(network, forms)
        packed.body.load_state_dict(_state(packed, tensors), strict=False)
    except KeyError as error:
        raise CheckpointError(f"{file}: tensor or field {error} is missing: pack the network again") from None
    except (TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{file}: does not fit its own header: {str(error).splitlines()[0]}") from None
    network.quantize()
    return packed, description


def _tensors(packed: PackedNetwork) -> Tensors:
    state = packed.body.state_dict()
    tensors: Tensors = {}
    for name, layer in packed.layers.items():
        tensors |= {f"{name}/{key}": value for key, value in _layer_tensors(layer.form).items()}
    for name, site in _wider_sites(packed).items():
        codes = whole_numbers(site.weight_codes())
        tensors[f"{name}/codes"] = codes.astype(np.int8) if np.array_equal(codes, codes.astype(np.int8)) else codes
        del state[f"{name}.weight"]
    return tensors | {name: tensor.numpy() for name, tensor in state.items()}


def _layer_tensors(form: PackedForm) -> Tensors:
    kernels = SignMaps(words=form.kernels.words, channels=form.kernels.channels)
    tensors: Tensors = {"words": np.packbits(kernels.unpack()), "thresholds": form.thresholds}
    if form.limits is not None:
        return tensors | {"limits": form.limits.limits.astype(np.int32), "flips": np.packbits(form.limits.flips)}
    return tensors | {"scale": form.scale} | ({} if form.bias is None else {"bias": form.bias})


def _form(name: str, tensors: Mapping[str, NDArray[Any]], site: Site, limited: bool) -> PackedForm:
    outputs, channels, *kernel = site.weight.shape
    height, width = kernel or (1, 1)
    bits = np.unpackbits(tensors[f"{name}/words"], count=outputs * height * width * channels).astype(np.bool_)
    stride, padding = ((1, 1), (0, 0))
    if isinstance(site, MixedConvolution):
        stride, padding = (site.stride[0], site.stride[1]), (site.padding[0], site.padding[1])
    limits = None
    if limited:
        flips = np.unpackbits(tensors[f"{name}/flips"], count=outputs).astype(np.bool_)
        limits = CountLimits(limits=tensors[f"{name}/limits"].astype(np.int64), flips=flips)
    return PackedForm(
        kernels=SignKernels(
            words=SignMaps.pack(bits.reshape(outputs, height, width, channels)).words,
            channels=channels,
            stride=stride,
            padding=padding,
        ),
        thresholds=tensors[f"{name}/thresholds"],
        limits=limits,
        scale=np.ones(outputs, dtype=np.float32) if limited else tensors[f"{name}/scale"],
        bias=tensors.get(f"{name}/bias"),
    )


def _state(packed: PackedNetwork, tensors: Mapping[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    """Return torch's tensors, weights of more bits included: codes times their step."""
    expected = packed.body.state_dict()
    wider = _wider_sites(packed)
    weights = {f"{name}.weight" for name in wider}
    state = {name: torch.from_numpy(tensors[name]) for name in expected if name not in weights}
    packed.body.load_state_dict(state, strict=False)  # steps first
    for name, site in wider.items():
        site.set_quantizers()
        step = site.weight_quantizer.encode(site.weight).step
        state[f"{name}.weight"] = torch.from_numpy(tensors[f"{name}/codes"]).float() * step
    return state


def _wider_sites(packed: PackedNetwork) -> dict[str, Site]:
    return {name: site for name, site in packed.body.named_modules() if isinstance(site, Site)}


def _known(name: str, layers: Mapping[str, Site]) -> Site:
    if name not in layers:
        raise ValueError(f"no site {name!r}: {did_you_mean(name, layers)}")
    return layers[name]


def _read(file: Path) -> tuple[dict[str, str], Tensors]:
    from safetensors import SafetensorError, safe_open

    if not file.is_file():
        raise CheckpointError(f"{file}: no such file: write one with bitmixer pack")
    try:
        with safe_open(file, framework="np") as opened:
            header = opened.metadata() or {}
            tensors: Tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise CheckpointError(f"{file}: truncated, or not a safetensors file: {error}") from None
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{file}: not a packed network: write one with bitmixer pack NAME")
    if header.get("format_version") != FORMAT_VERSION:
        version = header.get("format_version")
        raise CheckpointError(f"{file}: format_version {version!r}, expected {FORMAT_VERSION!r}: pack it again")
    if header.get("sha256") != _sha256(tensors):
        raise CheckpointError(f"{file}: changed since it was written: copy it again, or pack the network again")
    return header, tensors


def _description(header: Mapping[str, str]) -> Description:
    from pydantic import TypeAdapter

    return TypeAdapter(Description).validate_json(header["network"])


def _sha256(tensors: Mapping[str, NDArray[Any]]) -> str:
    content = hashlib.sha256()
    for name in sorted(tensors):
        content.update(name.encode() + b"\0" + np.ascontiguousarray(tensors[name]).tobytes())
    return content.hexdigest()
