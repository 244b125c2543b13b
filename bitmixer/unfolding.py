"""Torch's own attention modules hide their linear layers; these twins show them, under the same parameters.

The twins take the path that torch takes outside its fused inference kernels, to the bit; the fused kernels themselves
differ from it by rounding.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from bitmixer.errors import UnsupportedNetworkError


def unfold_attention(model: nn.Module) -> nn.Module:
    """Replace torch's attention and transformer encoder modules in ``model`` by twins that can be traced.

    Raises:
        UnsupportedNetworkError: One has a form that does not unfold.
    """
    for kind, twin in _TWINS.items():
        if type(model) is kind:
            unfolded: nn.Module = twin(model)
            return unfolded
    for name, child in list(model.named_children()):
        twin_of_child = unfold_attention(child)
        if twin_of_child is not child:
            setattr(model, name, twin_of_child)
    return model


class SelfAttention(nn.Module):
    """``nn.MultiheadAttention`` of a tensor with itself, as two linear layers around an attention."""

    def __init__(self, original: nn.MultiheadAttention) -> None:
        super().__init__()
        if not original.batch_first or original.in_proj_weight is None or original.bias_k is not None:
            raise UnsupportedNetworkError(
                "MultiheadAttention: only batch_first=True, with keys and values as wide as queries and no bias_k, "
                "unfolds; else write it with torch.nn.Linear and torch.nn.functional.scaled_dot_product_attention"
            )
        width = original.embed_dim
        self.heads, self.dropout = original.num_heads, original.dropout
        self.in_proj = nn.Linear(width, 3 * width, bias=original.in_proj_bias is not None, device="meta")
        self.in_proj.weight, self.in_proj.bias = original.in_proj_weight, original.in_proj_bias
        self.out_proj = nn.Linear(width, width, bias=original.out_proj.bias is not None, device="meta")
        self.out_proj.weight, self.out_proj.bias = original.out_proj.weight, original.out_proj.bias

    def forward(self, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> tuple[Tensor, None]:
        """Attend; there are no attention weights to return."""
        if query is not key or key is not value:
            raise UnsupportedNetworkError("MultiheadAttention: attends to another tensor: only self-attention unfolds")
        _refuse_masks("MultiheadAttention", options)
        parts = self.in_proj(query).chunk(3, -1)
        queries, keys, values = (parts[i].unflatten(-1, (self.heads, -1)).transpose(1, 2) for i in range(3))
        attended = F.scaled_dot_product_attention(queries, keys, values, dropout_p=self.dropout)
        return self.out_proj(attended.transpose(1, 2).flatten(2)), None


class EncoderLayer(nn.Module):
    """``nn.TransformerEncoderLayer`` without its fused kernel."""

    def __init__(self, original: nn.TransformerEncoderLayer) -> None:
        super().__init__()
        self.norm_first, self.activation = original.norm_first, original.activation
        self.self_attn = SelfAttention(original.self_attn)
        self.linear1, self.linear2 = original.linear1, original.linear2
        self.norm1, self.norm2 = original.norm1, original.norm2
        self.dropout, self.dropout1, self.dropout2 = original.dropout, original.dropout1, original.dropout2

    def forward(self, src: Tensor, **options: Any) -> Tensor:
        """Encode a batch of sequences, shape (batch, tokens, features)."""
        _refuse_masks("TransformerEncoderLayer", options)
        if self.norm_first:
            src = src + self._attend(self.norm1(src))
            return src + self._feed_forward(self.norm2(src))
        src = self.norm1(src + self._attend(src))
        result: Tensor = self.norm2(src + self._feed_forward(src))
        return result

    def _attend(self, x: Tensor) -> Tensor:
        result: Tensor = self.dropout1(self.self_attn(x, x, x)[0])
        return result

    def _feed_forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))
        return result


class Encoder(nn.Module):
    """``nn.TransformerEncoder``."""

    def __init__(self, original: nn.TransformerEncoder) -> None:
        super().__init__()
        self.layers = nn.ModuleList(unfold_attention(layer) for layer in original.layers)
        self.norm = original.norm

    def forward(self, src: Tensor, **options: Any) -> Tensor:
        """Encode a batch of sequences, shape (batch, tokens, features)."""
        _refuse_masks("TransformerEncoder", options)
        for layer in self.layers:
            src = layer(src)
        return src if self.norm is None else self.norm(src)


def _refuse_masks(name: str, options: dict[str, Any]) -> None:
    masks = [option for option, value in options.items() if value is not None and option not in _WITHOUT_EFFECT]
    if any(options[mask] is not False for mask in masks):
        raise UnsupportedNetworkError(f"{name}: {', '.join(masks)}: only attention without masks unfolds")


_WITHOUT_EFFECT = ("need_weights", "average_attn_weights", "enable_nested_tensor")
_TWINS: dict[type[nn.Module], Any] = {
    nn.MultiheadAttention: SelfAttention,
    nn.TransformerEncoderLayer: EncoderLayer,
    nn.TransformerEncoder: Encoder,
}
