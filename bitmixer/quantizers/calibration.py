"""Steps with the least squared error over a tensor."""

from __future__ import annotations

import torch
from torch import Tensor

from bitmixer.quantizers.codes import code_range, round_to_codes_

GRID = torch.logspace(-2.0, 0.05, 48).tolist()
"""Steps that are tried, as a share of the one at which no value leaves the range on its longer side."""


def best_steps(rows: Tensor, bits: int, *, signed: bool, symmetric: bool = False) -> Tensor:
    """Return for each row the step with the least mean squared error (shape: rows).

    For a sign that is the mean size of the values; otherwise it is found on a logarithmic grid. A row of zeros
    gets 1.
    """
    if signed and bits == 1:
        steps = rows.abs().mean(dim=1)
    else:
        low, high = code_range(bits, signed=signed, symmetric=symmetric)
        widest = rows.abs().amax(dim=1) / max(high, -low)
        shares = [*GRID, max(high, -low) / high]  # the last keeps both sides inside: never worse than that
        errors = torch.stack(
            [_error(rows, widest * share, bits, signed=signed, symmetric=symmetric) for share in shares]
        )
        steps = widest * torch.tensor(shares, device=rows.device)[errors.argmin(dim=0)]
    return torch.where(steps > 0, steps, torch.ones_like(steps))


def _error(rows: Tensor, steps: Tensor, bits: int, *, signed: bool, symmetric: bool) -> Tensor:
    columns = steps[:, None]
    codes = round_to_codes_(rows / columns, bits, signed=signed, symmetric=symmetric)
    return (codes * columns - rows).square_().mean(dim=1)


def sample(values: Tensor, count: int = 8192) -> Tensor:
    """Return at most ``count`` evenly spaced elements of a tensor, detached, as one row."""
    flat = values.detach().flatten()
    return flat[:: max(1, flat.numel() // count)][:count].unsqueeze(0)


def rows_of(weight: Tensor, steps: Tensor) -> Tensor:
    """Return what each of ``steps`` is fitted to: a row per output channel, or one sample of the whole tensor."""
    return sample(weight, count=65536) if steps.dim() == 0 else weight.detach().flatten(1)
