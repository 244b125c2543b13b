"""Tutorial: which settings of a device and a rule no other beats."""

# %% [markdown]
# # Explore a design space
#
# How many inputs should a frame have, and how far down should bits go when frames wait? A sweep runs a scenario over any of its fields, and behind
# `profile.` over any of its device, and tells which points no other beats. On the command line it is `hwsim sweep burst_deadlines --vary ...`
# with what is named below.

# %%
import hwsim

swept = hwsim.sweep(
    "burst_deadlines",
    {
        "streams.0.inputs_per_frame": [4, 8],
        "controller": [
            {"name": "static", "options": {"bits": 4}},
            {"name": "static", "options": {"bits": 2}},
            {"name": "hysteresis", "options": {"rungs": [8, 2]}},
        ],
    },
    changes={"duration": "2 s"},
    folder="runs/explored",
    quiet=True,
)

# %% [markdown]
# All values are tried out before anything runs: a misspelt field ends there, with its place and the nearest name. Unless a scenario says otherwise, two
# objectives are judged:

# %%
for judged in swept.outcome.points:
    inputs, rule = judged.point.values.values()
    energy, right = judged.objectives.values()
    print(
        f"{inputs} inputs, {rule['name']} {rule['options']}: {1e3 * energy:.2f} mJ, {100 * right:.1f} % right and on time"
    )

# %% [markdown]
# These are the points of the front, which no other beats in both, the cheapest first:

# %%
for judged in swept.outcome.front:
    print(*judged.point.values.values())

# %% [markdown]
# Runs are named by the hash of all that affects them and are never made twice: with two more values only what is new is run. Interrupted, the same
# call goes on. Tables and figures lie beside the runs.
#
# Ranges, random samples, NSGA-II, replications, several machines: [sweeps.md](../sweeps.md).
