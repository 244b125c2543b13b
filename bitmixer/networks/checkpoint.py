"""A trained network on disk: ``weights.safetensors``, ``graph.json``, ``checkpoint.json``, ``recipe.yaml``.

``graph.json`` and ``checkpoint.json`` are read without torch; loading never executes code.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitmixer.bitwidths import ENDS, BitWidths, End, NormKey
from bitmixer.errors import CheckpointError, did_you_mean
from bitmixer.graph import LayerGraph
from bitmixer.graphs.form import TrainedGraphForm
from bitmixer.networks.module_form import ModuleForm
from bitmixer.networks.plug_ins import registered_folder, registered_networks
from bitmixer.quantizers import Granularity, QuantizerName

if TYPE_CHECKING:
    from torch import nn

    from bitmixer.network import MetaQuantizedNetwork

FORMAT_VERSION = 1
ONNX_SUFFIX = ".onnx"
SHIPPED = Path(__file__).parent / "checkpoints"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkForm:
    """What it takes to build the network again, before its weights are loaded."""

    architecture: str
    width: int
    input_channels: int
    classes: int
    bits: tuple[int, ...]
    residual_bits: int
    tied: bool = True
    norm: NormKey = "transition"
    quantizer: QuantizerName = "nested"
    granularity: Granularity = "tensor"
    pinned: tuple[End, ...] = ENDS
    scheme: dict[str, BitWidths] | None = None

    @property
    def signed_input(self) -> bool:
        """Whether inputs can be negative: images are not."""
        return False

    @property
    def affine_without_norm(self) -> bool:
        """Whether a layer without a norm gets an affine."""
        return True

    def as_dict(self) -> dict[str, Any]:
        """Return the form as JSON holds it; there is a scheme only where the network's widths are fixed."""
        fields = dataclasses.asdict(self)
        return {name: value for name, value in fields.items() if name != "scheme" or value is not None}


Form = NetworkForm | ModuleForm | TrainedGraphForm


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A checkpoint's folder and what it says of itself.

    Attributes:
        path: The folder.
        name: Name of the checkpoint.
        form: How to build the network, of a registered architecture, of a module of one's own or of a graph's nodes;
            ``None`` for a layer graph by itself.
        metrics: Accuracy per uniform width and over random assignments, with data, seed and number of inputs;
            ``None`` for a geometry without trained weights.
        weights_sha256: Hash of the weights file; ``None`` without weights.
    """

    path: Path
    name: str
    form: Form | None
    metrics: dict[str, Any] | None
    weights_sha256: str | None
    graph_file: str = "graph.json"

    @property
    def reference(self) -> str:
        """Name under which it can be found again: that of a shipped one, or its folder."""
        if self.form is None:
            return str((self.path / self.graph_file).resolve())
        return self.name if self.path == SHIPPED / self.name else str(self.path.resolve())

    @cached_property
    def graph(self) -> LayerGraph:
        """The layer graph that was captured from the network, or is captured now from an ONNX file."""
        file = self.path / self.graph_file
        if file.suffix != ONNX_SUFFIX:
            return LayerGraph.load(file)
        from bitmixer.interchange.onnx_import import graph_from_onnx

        return graph_from_onnx(file)

    @property
    def accuracies(self) -> dict[int, float]:
        """Accuracy at each uniform width as measured after training; empty where that is not known."""
        return {int(bits): accuracy for bits, accuracy in ((self.metrics or {}).get("uniform") or {}).items()}

    @cached_property
    def sha256(self) -> str:
        """Hash of everything that decides what the network computes and costs."""
        form = None if self.form is None else self.form.as_dict()
        parts = [(self.path / self.graph_file).read_bytes(), json.dumps(form).encode()]
        return hashlib.sha256(b"\0".join([*parts, (self.weights_sha256 or "").encode()])).hexdigest()


def shipped_checkpoints() -> list[str]:
    """Return the names of the checkpoints that come with the package."""
    return sorted(path.parent.name for path in SHIPPED.glob("*/checkpoint.json"))


def find_checkpoint(name_or_path: str | Path) -> Checkpoint:
    """Return a checkpoint by its name, shipped or registered, or its folder; reads no weights and needs no torch.

    The ``.json`` file of a captured layer graph will do too, and so will an ONNX or QONNX file: geometries that can
    be priced and simulated without outputs. (An ONNX file needs torch as soon as its graph is asked for.)

    Raises:
        CheckpointError: Not found, damaged, or of another version.
        GraphFormatError: The layer graph is missing or damaged.
    """
    if Path(name_or_path).suffix in (".json", ONNX_SUFFIX):
        return _geometry(Path(name_or_path))
    folder = SHIPPED / str(name_or_path)
    if not (folder / "checkpoint.json").is_file():
        folder = Path(name_or_path)
    if not (folder / "checkpoint.json").is_file():
        folder = registered_folder(str(name_or_path)) or folder
    file = folder / "checkpoint.json"
    if not file.is_file():
        hint = did_you_mean(str(name_or_path), [*shipped_checkpoints(), *registered_networks()])
        raise CheckpointError(
            f"network {str(name_or_path)!r} is neither a shipped or registered checkpoint, nor a folder with one, "
            f"nor the .json file of a layer graph, nor an .onnx file: {hint}"
        )
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        version = data["format_version"]
        if version != FORMAT_VERSION:
            raise CheckpointError(f"{file}: format_version {version!r}, expected {FORMAT_VERSION}: train it again")
        return Checkpoint(
            path=folder,
            name=data["name"],
            form=_form(data["form"]),
            metrics=data["metrics"],
            weights_sha256=data["weights_sha256"],
        )
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{file}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from None
    except (KeyError, TypeError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise CheckpointError(f"{file}: not a checkpoint: {problem}") from None


def _form(fields: dict[str, Any]) -> Form:
    from pydantic import TypeAdapter

    if "graph_network" in fields:
        return TypeAdapter(TrainedGraphForm).validate_python(TrainedGraphForm(**fields).as_dict())
    if "module" in fields:
        return TypeAdapter(ModuleForm).validate_python(ModuleForm(**fields).as_dict())
    return TypeAdapter(NetworkForm).validate_python(NetworkForm(**fields).as_dict())


def _geometry(file: Path) -> Checkpoint:
    """Return a layer graph, or a network in an ONNX file, by itself."""
    if file.suffix != ONNX_SUFFIX:
        name = LayerGraph.load(file).network
    elif file.is_file():
        name = file.stem
    else:
        raise CheckpointError(f"{file}: no such file")
    return Checkpoint(path=file.parent, name=name, form=None, metrics=None, weights_sha256=None, graph_file=file.name)


def save_checkpoint(
    folder: Path,
    network: nn.Module,
    graph: LayerGraph,
    form: Form,
    metrics: dict[str, Any] | None,
    *,
    name: str,
    recipe: str | None,
    with_weights: bool = True,
) -> Checkpoint:
    """Write a checkpoint and return it."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "graph.json").write_text(graph.to_json(), encoding="utf-8")
    weights_sha256 = None
    if with_weights:
        tensors = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
        save_file(tensors, folder / "weights.safetensors")
        weights_sha256 = _sha256(folder / "weights.safetensors")
    if recipe is not None:
        (folder / "recipe.yaml").write_text(recipe, encoding="utf-8")
    content = {
        "format_version": FORMAT_VERSION,
        "name": name,
        "form": form.as_dict(),
        "metrics": metrics,
        "weights_sha256": weights_sha256,
    }
    (folder / "checkpoint.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return find_checkpoint(folder)


def original_of(form: NetworkForm | ModuleForm) -> nn.Module:
    """Return the untrained float network of a form.

    Raises:
        CheckpointError: It is of a module with parts that cannot be built.
    """
    if isinstance(form, ModuleForm):
        from bitmixer.description import build

        return build(form.module)
    from bitmixer.networks.registry import create

    return create(form.architecture, input_channels=form.input_channels, classes=form.classes, width=form.width)


def twin_of(original: nn.Module, form: NetworkForm | ModuleForm) -> MetaQuantizedNetwork:
    """Return the meta-quantized twin of a form's float network."""
    from bitmixer.conversion import convert

    return convert(
        original,
        form.bits,
        tied=form.tied,
        norm=form.norm,
        residual_bits=form.residual_bits,
        signed_input=form.signed_input,
        quantizer=form.quantizer,
        granularity=form.granularity,
        affine_without_norm=form.affine_without_norm,
        scheme=form.scheme,
        pinned=form.pinned,
    )


def load_network(name_or_path: str | Path | Checkpoint) -> MetaQuantizedNetwork:
    """Return a trained network, ready to run: evaluation mode, quantisers on, highest widths.

    Raises:
        CheckpointError: Missing, truncated, tampered with, or of another network.
    """
    checkpoint = name_or_path if isinstance(name_or_path, Checkpoint) else find_checkpoint(name_or_path)
    file = require_weights(checkpoint)
    if not isinstance(checkpoint.form, NetworkForm | ModuleForm):  # where there are weights, there is a form
        raise CheckpointError(
            f"{checkpoint.name} classifies nodes of a graph, where a network for images is wanted: run it in a scenario"
        )
    network = twin_of(original_of(checkpoint.form), checkpoint.form)
    network.input_shape = checkpoint.graph.input_shape
    load_weights(network, file)
    network.quantize()
    return network.eval()


def require_weights(checkpoint: Checkpoint) -> Path:
    """Return the weights file, which is whole; needs no torch.

    Raises:
        CheckpointError: There is none, or it is not the one that was written.
    """
    file = checkpoint.path / "weights.safetensors"
    if checkpoint.weights_sha256 is None:
        place = checkpoint.path if checkpoint.form else checkpoint.path / checkpoint.graph_file
        raise CheckpointError(f"{place}: {checkpoint.name} is a geometry without trained weights")
    if not file.is_file():
        raise CheckpointError(f"{file}: missing; copy the whole checkpoint folder")
    if _sha256(file) != checkpoint.weights_sha256:
        raise CheckpointError(
            f"{file}: truncated or changed: its hash is not the one in checkpoint.json "
            f"({checkpoint.weights_sha256[:12]}...); copy it again"
        )
    return file


def load_weights(network: nn.Module, file: Path) -> None:
    """Load a weights file into a network of its form.

    Raises:
        CheckpointError: The file is damaged, of another network, or holds what is no number.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(file)
    except SafetensorError as error:
        raise CheckpointError(f"{file}: not a safetensors file: {error}") from None
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{file}: weights of another network: {str(error).splitlines()[1].strip()}") from None
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{file}: tensor {key!r} holds NaN or infinity; train it again or copy it again")


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
