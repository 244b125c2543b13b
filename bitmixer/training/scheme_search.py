"""From a float network to the precision of every layer, and to the network that has it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bitmixer.bitwidths import BitWidths
from bitmixer.data import ImageSet
from bitmixer.errors import TrainingError
from bitmixer.network import MetaQuantizedNetwork
from bitmixer.output_files import make_folder
from bitmixer.quantizers import BitPlaneQuantizer
from bitmixer.quantizers.soft_planes import SoftPlaneQuantizer
from bitmixer.training.bsq import PlaneLasso
from bitmixer.training.csq import PlaneSelection
from bitmixer.training.expansion import collapse, expand, scheme_of, starting_scheme
from bitmixer.training.identity import identity_of_all
from bitmixer.training.phase import Phase, Progress
from bitmixer.training.ranks import ALONE, Ranks
from bitmixer.training.recipe import BitSparsity, Sparsity, Stage, Training
from bitmixer.training.regularizer import Regularizer
from bitmixer.training.scheme import PlaneScheme

PLANES_STATE = "planes_state.pt"

Twin = Callable[[Mapping[str, BitWidths] | None], MetaQuantizedNetwork]
"""Scheme -> the twin of one float network that has it; without a scheme, any twin."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What a search for a scheme ends with.

    Attributes:
        network: The network at the scheme, not trained on yet.
        scheme: Its precisions.
        history: A row per epoch.
    """

    network: MetaQuantizedNetwork
    scheme: PlaneScheme
    history: list[dict[str, Any]]


def find_scheme(
    twin: Twin,
    images: ImageSet,
    training: Training,
    settings: Sparsity,
    folder: Path,
    *,
    ranks: Ranks | None = None,
    identity: str | None = None,
    epochs_before: int = 0,
    progress: Progress = lambda row: None,
) -> Found:
    """Train a network's bits until they say which of them every layer needs.

    Interrupted at any time, it goes on from the last whole epoch when called again, to the same bits.

    Args:
        twin: Converts the float network, with the quantiser ``symmetric`` and the norm ``shared``.
        images: What it is trained on.
        training: How; its stages up to ``planes`` count.
        settings: The method, BSQ or CSQ, and how strongly it pushes.
        folder: Where the training state is kept.
        ranks: This process among all that train together; alone on the CPU if not given.
        identity: What the training state must belong to; by default a hash of all that decides the result.
        epochs_before: Epochs trained before, for the numbers in the history.
        progress: Called after every epoch with its row.

    Raises:
        TrainingError: There is no stage ``planes``, a batch is larger than the data, a layer that cannot be left out
            lost all its weights, or the loss is no longer a number.
        CheckpointError: The state in ``folder`` is damaged or belongs to another training.
    """
    stages = stages_up_to_planes(training)
    if not stages:
        raise TrainingError("the training has no stage 'planes', in which a scheme is found: add one")
    make_folder(folder)
    network = twin(starting_scheme(twin(None), settings.activation_bits))
    regularizer = _regularized(network, settings, stages[-1].epochs)
    phase = Phase(
        network=network, images=images, training=training, stages=stages, file=folder / PLANES_STATE, teacher=None,
        identity=identity or f"{settings!r} {identity_of_all(training, network, images)}",
        ranks=ranks or ALONE, regularizer=regularizer,
    )  # fmt: skip
    history = phase.run(epochs_before=epochs_before, progress=progress)
    regularizer.finish()
    scheme = scheme_of(network)
    found = twin(scheme.assignment)
    collapse(network, found)
    return Found(network=found, scheme=scheme, history=history)


def _regularized(network: MetaQuantizedNetwork, settings: Sparsity, epochs: int) -> Regularizer:
    """Let a network hold its weights as the method wants them, and return the method."""
    if isinstance(settings, BitSparsity):
        expand(network, BitPlaneQuantizer)
        return PlaneLasso(network, settings)
    expand(network, SoftPlaneQuantizer)
    return PlaneSelection(network, settings, epochs)


def stages_up_to_planes(training: Training) -> tuple[Stage, ...]:
    """Return the quantised stages up to and with ``planes``; none, where that is not among them."""
    names = [stage.name for stage in training.quantized_stages]
    return training.quantized_stages[: names.index("planes") + 1] if "planes" in names else ()
