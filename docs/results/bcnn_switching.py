"""What one bit costs in accuracy, and what it earns on arrays, for a network that can switch to it."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from typing import Any

NETWORK = "resnet8_digits_one_bit"
BITS = (8, 4, 2, 1)
PROFILES = ("unpu", "bismo_10x256x10", "braintta")


def measured() -> dict[str, Any]:
    """Return the checkpoint's accuracies, and cycles and energies of one input on each array."""
    from bitmixer.networks.checkpoint import find_checkpoint

    metrics = find_checkpoint(NETWORK).metrics
    assert metrics is not None
    return {
        "command": f"bitmixer train {NETWORK}; hwsim cost --profile PROFILE --network {NETWORK} --bits BITS --total",
        **metrics,
        "arrays": {profile: {str(bits): _cost(profile, bits) for bits in BITS} for profile in PROFILES},
    }


def _cost(profile: str, bits: int) -> dict[str, float | None]:
    """Return the sums over all layers, and those over the layers that switch."""
    command = [sys.executable, "-m", "hwsim", "cost", "--profile", profile, "--network", NETWORK, "--bits", str(bits)]
    rows = list(csv.DictReader(io.StringIO(subprocess.run(command, check=True, capture_output=True, text=True).stdout)))
    inner = [row for row in rows if row["layer"] not in ("stem", "classifier")]
    return {
        "cycles": sum(int(row["compute_cycles"]) for row in rows),
        "switching_cycles": sum(int(row["compute_cycles"]) for row in inner),
        "energy_joules": sum(float(row["energy_joules"]) for row in rows) if rows[0]["energy_joules"] else None,
    }


def part(found: dict[str, Any]) -> str:
    """Return the section of the page."""
    random = found["random"]
    accuracies = " | ".join(f"{100 * found['uniform'][str(bits)]:.2f}" for bits in BITS)
    lines = [
        f"## One bit among others: `{NETWORK}`",
        "",
        (
            f"Accuracy in %, {found['inputs']} test inputs of {found['data']}; random widths per layer: {random['count']} draws "
            f"(seed {random['seed']}), mean, standard deviation, lowest. Trained in {found['training']['seconds']:.0f} s."
        ),
        "",
        f"| {' | '.join(f'{bits} bits' if bits > 1 else '1 bit' for bits in BITS)} | random |",
        f"|{'--:|' * (len(BITS) + 1)}",
        f"| {accuracies} | {100 * random['mean']:.2f} ± {100 * random['std']:.2f}, {100 * random['min']:.2f} |",
        "",
        (
            "Cycles of one input by array (compute, all layers; in brackets the layers that switch, stem and classifier keep 8 bits), "
            "and energy:"
        ),
        "",
        f"| array | {' | '.join(f'{bits} bits' if bits > 1 else '1 bit' for bits in BITS)} |",
        f"|---|{'--:|' * len(BITS)}",
    ]
    for profile, costs in found["arrays"].items():
        cells = [
            f"{cost['cycles']:,} ({cost['switching_cycles']:,})"
            + ("" if cost["energy_joules"] is None else f", {1e6 * cost['energy_joules']:.3g} µJ")
            for cost in (costs[str(bits)] for bits in BITS)
        ]
        lines.append(f"| `{profile}` | {' | '.join(cells)} |")
    return "\n".join(lines)
