"""Tutorial: several controllers on the same days, and how sure a difference is."""

# %% [markdown]
# # Compare controllers
#
# A reader of digits is asked seldom, then by many at once. At 8 bits bursts are late; at 2 bits answers are wrong. Does a
# rule that takes bits from the bursts alone earn anything? On the command line this is
# `hwsim compare burst_deadlines --controllers static,static:bits=2,hysteresis --baseline static:bits=2 --replications 2`.

# %%
import hwsim

compared = hwsim.compare(
    "burst_deadlines",
    ["static", "static:bits=2", "hysteresis"],
    baseline="static:bits=2",
    replications=2,
    changes={"duration": "4 s"},
    folder="runs/compared",
    quiet=True,
)

# %% [markdown]
# Every seed brings all controllers the same arrivals, inputs and sensor noise. Intervals of 95 % resample runs and test inputs:

# %%
METRICS = {
    "correct_on_time_rate": "right and on time",
    "deadline_miss_rate": "late or lost",
    "energy_per_input_joules": "J per input",
}
for controller, metrics in compared.statistics.controllers.items():
    print(controller)
    for metric, words in METRICS.items():
        found = metrics[metric]
        print(f"  {words}: {found.mean:.4f} ({found.low:.4f} to {found.high:.4f})")

# %% [markdown]
# Two intervals that overlap say little, since a hard seed is hard for all. What is certain is the difference seed by seed, input by input:

# %%
for controller, metrics in compared.statistics.differences.items():
    gain = metrics["correct_on_time_rate"]
    print(
        f"{controller} - static:bits=2: {100 * gain.mean:+.1f} points ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
    )

# %% [markdown]
# Eight bits all the time lose to two, and the rule gains over two bits: neither interval holds zero. More replications
# narrow them. The folder has all of it as tables, with figures and a page, and each run by itself:

# %%
print([run.folder.name for run in compared.runs["hysteresis"]])

# %% [markdown]
# Next: [write a controller](write_a_controller.md).
