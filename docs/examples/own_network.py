"""Your own network, from PyTorch to the simulated device; what docs/own_network.md shows.

Usage: python docs/examples/own_network.py [FOLDER]   # about ten seconds
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

import bitmixer
from bitmixer.data import load_image_set


class Mine(nn.Module):
    """A network that no registry knows."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.body, self.body_norm = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = torch.relu(self.stem_norm(self.stem(x)))
        x = torch.relu(self.body_norm(self.body(x)) + x)
        logits: torch.Tensor = self.head(x.mean((2, 3)))
        return logits


TRAINING = bitmixer.Training.model_validate({
    "seed": 0,
    "batch_size": 64,
    "distillation": {"teacher": "highest"},
    "stages": [
        {"name": "activations", "epochs": 2, "learning_rate": 5e-3},
        {"name": "weights", "epochs": 2, "learning_rate": 5e-3},
        {"name": "transitions", "epochs": 4, "learning_rate": 5e-3, "passes": ["highest", "random"]},
    ],
})  # fmt: skip


def accuracy(network: nn.Module, images: bitmixer.ImageSet) -> float:
    """Return the share of the test images that a network gets right under its present widths."""
    with torch.no_grad():
        predicted = network(torch.from_numpy(images.test_inputs)).argmax(dim=1)
    return float((predicted == torch.from_numpy(images.test_labels)).double().mean())


def main(folder: Path) -> dict[str, float]:
    """Convert, train, switch, save, load, export; return the accuracies."""
    torch.manual_seed(0)  # a training that was interrupted goes on only from the same start
    model, images = Mine(), load_image_set("digits")  # an ImageSet of your own arrays
    network = bitmixer.convert(model, bits=(2, 4, 8), signed_input=False)
    bitmixer.fit(network, images, TRAINING, folder / "training")  # quantisers are on afterwards

    found = {}
    for bits in (8, 4, 2):
        network.assign(network.uniform(bits))
        found[f"all layers at {bits} bits"] = accuracy(network, images)
    network.assign({**network.uniform(8), "body": 2})
    found["body at 2 bits, all else at 8"] = accuracy(network, images)

    save_file(network.state_dict(), folder / "mine.safetensors")
    again = bitmixer.convert(Mine(), bits=(2, 4, 8), signed_input=False)  # the same options
    again.load_state_dict(load_file(folder / "mine.safetensors"))
    again.quantize()  # a fresh twin has its quantisers off
    again.eval()
    again.assign(network.assignment)
    found["loaded again"] = accuracy(again, images)

    example = torch.from_numpy(images.test_inputs[:1])
    graph = bitmixer.capture(network, example, name="mine")
    (folder / "mine.json").write_text(graph.to_json(), encoding="utf-8")  # hwsim cost --network mine.json
    return found


if __name__ == "__main__":
    for what, share in main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/own_network")).items():
        print(f"{what}: {share:.1%}")
