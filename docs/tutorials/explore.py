"""Tutorial: which settings of a device and a rule no other beats."""

# %% [markdown]
# # Explore a design space
#
# How many inputs should a frame have, and how far down should bits go when frames wait? A sweep runs a scenario over any of its fields, and behind
# `profile.` over any of its device, and tells which points no other beats. On the command line it is `hwsim sweep burst_deadlines --vary ...`
# with what is named below.

# %%
from hwsim.sweeps.reading import read_sweep

plan = read_sweep(
    "burst_deadlines",
    sets=["duration=2 s"],
    vary=[
        "streams.0.inputs_per_frame=[4,8]",
        "controller=[{name: static, options: {bits: 4}}, {name: static, options: {bits: 2}}, {name: hysteresis, options: {rungs: [8, 2]}}]",
    ],
)
print(dict(plan.objectives))

# %% [markdown]
# All values are tried out before anything runs: a misspelt field ends here, with its place and the nearest name.

# %%
from pathlib import Path

from hwsim.sweeps.executors import build_executor
from hwsim.sweeps.sweep import run_sweep

with build_executor("serial", 1) as executor:
    result = run_sweep(plan, executor, folder=Path("runs/explored"))
for judged in result.points:
    inputs, rule = judged.point.values.values()
    energy, right = judged.objectives.values()
    print(
        f"{inputs} inputs, {rule['name']} {rule['options']}: {1e3 * energy:.2f} mJ, {100 * right:.1f} % right and on time"
    )

# %% [markdown]
# These are the points of the front, the cheapest first:

# %%
for judged in result.front:
    print(*judged.point.values.values())

# %% [markdown]
# Runs are named by the hash of all that affects them and are never made twice: with two more values only what is new is run. Interrupted, the same
# call goes on. The results lie beside the runs:

# %%
print(sorted(path.name for path in Path("runs/explored").iterdir()))

# %% [markdown]
# Ranges, random samples, NSGA-II, replications, several machines: [sweeps.md](../sweeps.md).
