"""Packed networks: equal to the float network of signs on whole test sets, without floats where there need be none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor, nn

from bitmixer import convert, load_network
from bitmixer.binary_convolutions import require_binary_convolutions
from bitmixer.cli import main
from bitmixer.data import load_data
from bitmixer.errors import CheckpointError, DatapathError, QuantizerError, UnsupportedNetworkError
from bitmixer.execution import run
from bitmixer.layers import ShiftedPReLU, Site
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.networks import create, find_checkpoint
from bitmixer.packed.file import load_packed, pack_checkpoint
from bitmixer.packed.network import PackedNetwork, pack

pytest.importorskip("numba")

SWITCHABLE = "resnet8_digits_one_bit"


def binary(architecture: str, x: Tensor, *, pinned: tuple[Any, ...] = ("last",)) -> MetaQuantizedNetwork:
    """Return a calibrated binary network whose norms have gains of either sign, and some of zero."""
    torch.manual_seed(5)
    model = create(architecture, input_channels=x.shape[1], classes=10, width=16)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias, std=0.3)
            module.weight.data[::7] = 0.0
        if isinstance(module, ShiftedPReLU):
            nn.init.normal_(module.behind, std=0.3)
    model.train()(x[:64])
    network = convert(model, [1], quantizer="binary", granularity="channel", pinned=pinned, signed_input=False).eval()
    network.calibrate_activations(x[:64])
    network.calibrate_weights()
    network.quantize()
    return network


def of_packed(network: PackedNetwork, x: Tensor) -> Tensor:
    return torch.cat([network(batch) for batch in torch.split(x, 100)])


@pytest.mark.parametrize("data", ["digits", "mnist5k"])
@pytest.mark.parametrize("architecture", ["bcnn_plain", "bcnn_space_to_depth"])
def test_a_packed_network_equals_the_float_one_on_the_whole_test_set(architecture: str, data: str) -> None:
    inputs, _ = load_data(data)
    network = binary(architecture, inputs)
    require_binary_convolutions(network, inputs[:8])
    expected = run(network, inputs, network.uniform(1))
    assert torch.equal(of_packed(pack(network), inputs), expected)
    assert len(expected.unique(dim=0)) > 0.9 * len(expected)  # the network tells inputs apart


@pytest.mark.parametrize("architecture", ["bcnn", "bcnn_bit_planes", "bcnn_real_stem"])
def test_other_stems_and_shortcuts_and_a_binary_classifier(architecture: str) -> None:
    x = torch.rand(16, 3, 14, 14)
    for pinned in [("last",), ()] if architecture == "bcnn" else [("first", "last")]:
        network = binary(architecture, x, pinned=pinned)
        assert torch.equal(pack(network)(x), run(network, x, network.uniform(1)))


def test_between_the_first_thresholds_and_the_last_convolution_there_is_no_float() -> None:
    x = torch.rand(4, 1, 8, 8)
    packed = pack(binary("bcnn_plain", x))
    last = "stages.2.1"
    assert packed.real_valued_tensors(x) == (
        f"{last}.convolution", f"{last}.norm", f"{last}.activation", "mean", "classifier",
    )  # fmt: skip


def test_real_valued_shortcuts_are_named() -> None:
    x = torch.rand(4, 1, 8, 8)
    network = load_network(SWITCHABLE)
    network.assign(network.uniform(1))
    real = pack(network).real_valued_tensors(x)
    assert {"add", "add_1", "add_2", "stages.0.0.shortcut"} <= set(real)
    assert not {f"stages.{stage}.0.conv1" for stage in range(3)} & set(real)  # integer limits follow these


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("packed") / "p.safetensors"
    pack_checkpoint(find_checkpoint(SWITCHABLE), written)
    return written


def test_a_file_holds_a_bit_per_weight_and_runs_without_float_weights(file: Path) -> None:
    packed, description = load_packed(file)
    inputs, _ = load_data("digits")
    network = load_network(SWITCHABLE)
    assert torch.equal(of_packed(packed, inputs), run(network, inputs, network.uniform(1)))
    tensors = load_file(file)
    sites = {site.name: site.layer for site in network.sites}
    for name in description.sites:
        assert tensors[f"{name}/words"].nbytes == sites[name].weight.numel() / 8
        assert f"{name}.weight" not in tensors
    floats = sum(tensor.size for tensor in tensors.values() if tensor.dtype.kind == "f")
    assert floats < 0.05 * sum(site.layer.weight.numel() for site in network.sites)
    left = [name for name, module in packed.body.named_modules() if isinstance(module, Site)]
    assert left == ["stem", "classifier"]


def rewritten(file: Path, target: Path, change: Callable[[dict[str, str], dict[str, np.ndarray]], None]) -> Path:
    """Write a packed file with a changed header or tensors, whose hash is left as it was."""
    from safetensors import safe_open

    with safe_open(file, framework="np") as opened:
        header = dict(opened.metadata())
    tensors = load_file(file)
    change(header, tensors)
    save_file(tensors, target, metadata=header)
    return target


def test_damaged_files_are_refused(file: Path, tmp_path: Path) -> None:
    def refused(change: Callable[[dict[str, str], dict[str, np.ndarray]], None], message: str) -> None:
        with pytest.raises(CheckpointError, match=message) as caught:
            load_packed(rewritten(file, tmp_path / "changed.safetensors", change))
        assert "\n" not in str(caught.value)

    def other_site(header: dict[str, str], _: dict[str, np.ndarray]) -> None:
        description = json.loads(header["network"])
        description["sites"] = {"stages.0.0.conv3": True}
        header["network"] = json.dumps(description)

    refused(
        lambda header, _: header.update(format="a photograph"), "not a packed network: write one with bitmixer pack"
    )
    refused(lambda header, _: header.update(format_version="7"), "format_version '7', expected '1'")
    refused(lambda header, _: header.update(network="{}"), "does not fit its own header")
    refused(lambda header, _: header.pop("network"), "'network' is missing")
    refused(other_site, r"no site 'stages\.0\.0\.conv3': did you mean 'stages\.0\.0\.conv")
    refused(lambda _, tensors: tensors.pop("stages.0.0.conv1/words"), "changed since it was written")
    truncated = tmp_path / "t.safetensors"
    truncated.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="truncated"):
        load_packed(truncated)


def test_what_cannot_be_packed_is_refused() -> None:
    x = torch.rand(4, 1, 8, 8)
    network = load_network(SWITCHABLE)
    with pytest.raises(UnsupportedNetworkError, match=r"assign \(1, 1\)"):
        pack(network)
    with pytest.raises(DatapathError, match="no number has no sign"):
        pack(binary("bcnn_plain", x))(x * torch.nan)
    network.quantize(weights=False, activations=False)
    with pytest.raises(QuantizerError, match="no signs to pack"):
        pack(network)


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["bitmixer", *arguments])
    try:
        main()
    except SystemExit as stopped:
        return int(stopped.code or 0)
    return 0


def test_the_command_line_packs_and_evaluates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = str(tmp_path / "n.safetensors")
    assert command(monkeypatch, "pack", SWITCHABLE, "--out", written) == 0
    assert "8 layers packed" in capsys.readouterr().out
    assert command(monkeypatch, "evaluate", written, "--json") == 0
    metrics = find_checkpoint(SWITCHABLE).metrics
    assert metrics is not None
    assert json.loads(capsys.readouterr().out)["uniform"] == {"1": metrics["uniform"]["1"]}
    for arguments, message in (
        (("evaluate", written, "--random", "2"), "a packed network has one bit"),
        (("evaluate", written, "--data", "mnist5k"), "28"),
        (("pack", "resnet8_digits", "--out", written), "cannot run at w1a1"),
        (("pack", SWITCHABLE, "--out", str(tmp_path / "no" / "n.safetensors")), "there is no folder"),
        (("evaluate", "gone.safetensors"), "no such file"),
    ):
        assert command(monkeypatch, *arguments) == 2
        assert message in capsys.readouterr().err
