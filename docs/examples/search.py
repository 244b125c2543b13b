"""Show what searches find on the shipped network; prints Markdown and copies the figure.

Usage:
    python -m bitmixer search resnet20_mnist5k --data mnist5k+noise0.8@7 --budget 'average_bits<=3' \
        --images 300 --random 10 --pareto --out runs/front
    python -m bitmixer search resnet20_mnist5k --data mnist5k+noise0.8@7 --budget 'average_bits<=3' \
        --method random --random 50 --out runs/random
    python docs/examples/search.py runs/front runs/random > docs/budgets.md
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from hwsim.pricing import Widths, price

HERE = Path(__file__).parent
FIGURE = HERE.parent / "images" / "search.svg"
INPUTS_PER_FRAME = 28
"""As in the scenario thermal_throttle."""


def main() -> None:
    front, random = Path(sys.argv[1]), Path(sys.argv[2])
    shutil.copyfile(front / "pareto.svg", FIGURE)
    print(page(front, random))


def page(front: Path, random: Path) -> str:
    """Return the page that two searches make."""
    found = json.loads((front / "search.json").read_text(encoding="utf-8"))
    drawn = json.loads((random / "search.json").read_text(encoding="utf-8"))["random"]
    rows = {row["method"]: row for row in found["found"] if row["method"] != "random"}
    shown = "\n".join(
        f"| {method} | {row['cost']:.2f} | {row['loss']:.4f} | {100 * row['accuracy']:.2f} % |"
        for method, row in rows.items()
    )
    loss, accuracy = drawn["loss"], drawn["accuracy"]
    network, limit = found["network"], found["budget"]["limit"]
    exact = front / rows["exact"]["file"]
    cycles, joules = priced(network, Widths(assignment=exact))
    table_cycles, table_joules = foretold(network, rows["exact"]["assignment"])
    uniform_cycles, uniform_joules = priced(network, Widths(bits=round(limit)))
    return f"""# Assignments under a budget

`bitmixer search` looks for the per-layer widths that lose least within a budget:

```sh
python -m bitmixer search {network} --data {found["data"]} --budget 'average_bits<={limit:g}' --images \
{found["search"]["images"]} --random 10 --pareto --out runs/front
```

It writes `greedy.json`, `exact.json` and `random-00.json` ... (site -> [weight bits, activation bits]), `search.json` and, with
`--pareto`, the front as data (`pareto.json`) and figure (`pareto.svg`). `bitmixer evaluate NAME --assignment exact.json` measures
one again, and the device runs it: `hwsim run SCENARIO --controller static:assignment=exact.json`,
with `--set streams.0.network=NAME --set streams.0.data=DATA` where the scenario has another network.

## What it finds

{network} on {found["inputs"]} test images of `{found["data"]}`, searched on {found["search"]["images"]} training images with \
the same noise; budget {limit:g} bits on average:

| widths | average bits | cross-entropy | classified right |
|---|--:|--:|--:|
{shown}
| random, mean of {loss["count"]} | {drawn["cost"]["mean"]:.2f} | {loss["mean"]:.4f} ± {loss["std"]:.4f} | \
{100 * accuracy["mean"]:.2f} ± {100 * accuracy["std"]:.2f} % |
| random, best and worst of {loss["count"]} | | {loss["min"]:.4f}, {loss["max"]:.4f} | \
{100 * accuracy["max"]:.2f}, {100 * accuracy["min"]:.2f} % |

± is one standard deviation over the assignments. A share measured on {found["inputs"]} images has itself a standard error of \
about {100 * (0.875 * 0.125 / found["inputs"]) ** 0.5:.1f} percentage points, though all rows share the same images.

Both searches lose less than random assignments of the same cost. Where a uniform width meets the budget exactly, it is as
good on this network; what the searches add are the costs between and below, where no uniform width is.

![Accuracy against average bits for greedy, exact and random assignments](images/search.svg)

## Methods

- **Loss.** Mean Kullback-Leibler divergence of the predictions from those at the highest widths, on images of the *training*
  split with noise of their own; the test split only judges. It needs no labels. The shipped networks were trained on all of
  the training split, so that its losses are lower than on new images; what counts here is how sites differ.
- **exact**: one pass lowers each site alone to each of its widths (the sensitivity); the assignment with the least sum is a
  multiple-choice knapsack, solved to proven optimality by scipy's MILP. Optimal is the sum, not quite the network's loss.
- **greedy**, as in Bit-Mixer: from the highest widths down, the site whose loss grows least per cost saved is lowered, and all
  are measured again, O(sites²) passes, until the budget holds.
- **random**: sites drawn independently so that the budget is the expected cost; of 200 draws the dearest within the budget. All
  assignments of one cost are equally likely.

## Budgets

| kind | counts | pinned sites |
|---|---|---|
| `average_bits` | plain mean over sites of (weight + activation bits) / 2 | left out |
| `average_weight_bits` | mean weight bits, weighted by weights | left out |
| `bit_operations` | multiply-accumulates x weight bits x activation bits, per input | fixed part |
| `weight_bytes` | bytes of weight codes | fixed part |
| any column of `--costs FILE.csv` | what you like: rows of layer, weight_bits, activation_bits and numbers | fixed part |

With a device's own costs:

```sh
python -m hwsim cost --network {network} --all-widths --inputs {INPUTS_PER_FRAME} > costs.csv
python -m bitmixer search {network} --costs costs.csv --budget 'total_cycles<=1600000' --method exact
python -m hwsim cost --network {network} --assignment runs/search-{network}/exact.json --inputs {INPUTS_PER_FRAME}
```

A site's results are written at its key consumer's bits, which a table per site cannot know, so that it takes the site's own; the
last command prices the assignment as it is. For the exact assignment above, {INPUTS_PER_FRAME} inputs to a frame on \
`bismo_pynq_z1`: {cycles:,} cycles and {1e3 * joules:.2f} mJ, where the table adds up to {table_cycles:,} and \
{1e3 * table_joules:.2f} mJ. Uniform {limit:g} bits take {uniform_cycles:,} cycles and {1e3 * uniform_joules:.2f} mJ.

This page is written by `docs/examples/search.py` from the files of two searches; its head says how."""


def priced(network: str, widths: Widths) -> tuple[int, float]:
    """Return cycles and joules of a frame."""
    return summed(cost_rows(network, widths))


def foretold(network: str, assignment: dict[str, list[int]]) -> tuple[int, float]:
    """Return what the rows of the table of all widths add up to."""
    rows = cost_rows(network, Widths(all_widths=True))
    return summed(
        row for row in rows if assignment[row["layer"]] == [int(row["weight_bits"]), int(row["activation_bits"])]
    )


def cost_rows(network: str, widths: Widths) -> list[dict[str, str]]:
    table = price(
        "bismo", layers=None, network=network, widths=widths, inputs=INPUTS_PER_FRAME, profile="bismo_pynq_z1", sets=()
    )
    return list(csv.DictReader(io.StringIO(table.to_csv())))


def summed(rows: Any) -> tuple[int, float]:
    both = [(int(row["total_cycles"]), float(row["energy_joules"])) for row in rows]
    return sum(cycles for cycles, _ in both), sum(joules for _, joules in both)


if __name__ == "__main__":
    main()
