"""Tutorial: a module and data loaders of one's own, trained, saved, and run on a device."""

# %% [markdown]
# # Train your own
#
# Here is a small PyTorch module that no registry knows, and data loaders for it, as you may have them:

# %%
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bitmixer.data import load_image_set


class Mine(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(self):
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.body, self.body_norm = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = torch.relu(self.stem_norm(self.stem(x)))
        x = torch.relu(self.body_norm(self.body(x)) + x)
        return self.head(x.mean((2, 3)))


digits = load_image_set("digits")
train_loader, test_loader = (
    DataLoader(TensorDataset(torch.from_numpy(inputs), torch.from_numpy(labels)), batch_size=100)
    for inputs, labels in ((digits.train_inputs, digits.train_labels), (digits.test_inputs, digits.test_labels))
)

# %% [markdown]
# Data becomes a file, so that a run can be repeated from it:

# %%
import bitmixer

images = bitmixer.ImageSet.from_batches(train_loader, test_loader)
print(images.save("mine.npz"), images.train_inputs.shape, images.test_inputs.shape)

# %% [markdown]
# `convert` makes the twin whose layers switch. It shows which layers there are, and what each may run at; the first and the last keep 8 bits:

# %%
torch.manual_seed(0)
network = bitmixer.convert(Mine(), bits=(2, 4, 8), signed_input=False)
for site in network.sites:
    print(site.name, [f"w{widths.weight}a{widths.activation}" for widths in site.allowed])

# %% [markdown]
# It is trained in stages: activations become few bits, then weights, then the layers learn to stand next to others of other bits. Ten
# epochs of the digits take a few seconds; a real training has hundreds.

# %%
training = bitmixer.Training(
    seed=0,
    batch_size=64,
    stages=[
        {"name": "activations", "epochs": 4, "learning_rate": 1e-2},
        {"name": "weights", "epochs": 2, "learning_rate": 5e-3},
        {"name": "transitions", "epochs": 4, "learning_rate": 5e-3, "passes": ["highest", "random"]},
    ],
)
bitmixer.fit(network, images, training, "runs/training")

# %% [markdown]
# Saved, it is a network like those that come along. Its accuracies are measured as it is saved:

# %%
example = torch.from_numpy(images.test_inputs[:8])
checkpoint = bitmixer.save_network(network, "runs/mine", example=example, data="mine.npz")
print({bits: round(accuracy, 2) for bits, accuracy in checkpoint.accuracies.items()})

# %% [markdown]
# And so it runs on a device, under a controller, and answers there:

# %%
import hwsim

own = {
    "streams.0.network": "runs/mine",
    "streams.0.data": "mine.npz",
    "streams.0.inputs_per_frame": 100,
    "duration": "2 s",
}
result = hwsim.run("burst_deadlines", changes=own, quiet=True)
print(f"{result.summary['frames_arrived']} frames, {100 * result.summary['accuracy']:.0f} % right")

# %% [markdown]
# With less light the sensor is noisy. Corruptions have names, also those of a file of yours:

# %%
noisy = hwsim.run("burst_deadlines", changes={**own, "streams.0.data": "mine.npz+noise0.2@1"}, quiet=True)
print(f"{100 * noisy.summary['accuracy']:.0f} % right")

# %% [markdown]
# On the command line the same is `hwsim run burst_deadlines --set streams.0.network=runs/mine --set streams.0.data=mine.npz`. More on each step, on ONNX
# files and on packages that register networks: [own_network.md](../own_network.md). Next: [compare controllers](compare_controllers.md).
