"""A small transformer encoder over the patches of an image.

Sources: Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021 (encoder); Chu et al., "Conditional Positional
Encodings for Vision Transformers", arXiv 2102.10882 (positions by a depthwise convolution: any image size will do).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 4
HEAD_FEATURES = 16
EXPANSION = 2


class SelfAttention(nn.Module):
    """Multi-head self-attention; its four linear layers may each run at their own bits."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.heads = features // HEAD_FEATURES if features % HEAD_FEATURES == 0 else 1
        self.query, self.key = nn.Linear(features, features), nn.Linear(features, features)
        self.value, self.output = nn.Linear(features, features), nn.Linear(features, features)

    def forward(self, x: Tensor) -> Tensor:
        """Return what each token gathers from all, shape (batch, tokens, features)."""
        query, key, value = (self._by_head(layer(x)) for layer in (self.query, self.key, self.value))
        gathered = F.scaled_dot_product_attention(query, key, value)
        result: Tensor = self.output(gathered.transpose(1, 2).flatten(2))
        return result

    def _by_head(self, x: Tensor) -> Tensor:
        batch, tokens, features = x.shape
        return x.reshape(batch, tokens, self.heads, features // self.heads).transpose(1, 2)


class EncoderBlock(nn.Module):
    """Attention and a two-layer perceptron, each behind a layer norm and joined to what came before."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(features), SelfAttention(features)
        self.norm2 = nn.LayerNorm(features)
        self.expand, self.contract = (
            nn.Linear(features, EXPANSION * features),
            nn.Linear(EXPANSION * features, features),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's result, shape (batch, tokens, features)."""
        x = x + self.attention(self.norm1(x))
        result: Tensor = x + self.contract(F.gelu(self.expand(self.norm2(x))))
        return result


class PatchTransformer(nn.Module):
    """Encoder blocks over 4x4 patches, and a classifier of the tokens' mean.

    Args:
        depth: Number of encoder blocks.
        width: Features of a token; a head has 16 of them, or all if they do not divide into 16.
        input_channels: Channels of the input image.
        classes: Number of logits.
    """

    def __init__(self, *, depth: int, width: int, input_channels: int, classes: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(input_channels, width, PATCH, PATCH)
        self.positions = nn.Conv2d(width, width, 3, 1, 1, groups=width)
        self.blocks = nn.Sequential(*(EncoderBlock(width) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch of images, shape (batch, classes)."""
        x = self.patches(x)
        x = (x + self.positions(x)).flatten(2).transpose(1, 2)
        logits: Tensor = self.classifier(self.norm(self.blocks(x)).mean(1))
        return logits
