"""Tutorial: a first run, and what its records say."""

# %% [markdown]
# # A first run
#
# A camera board without a fan classifies 28 crops per frame, 30 frames a second. This tutorial runs it for twenty seconds, and
# asks the records what happened. On the command line it is
# `hwsim run thermal_throttle --set duration='20 s' --out runs/first`.

# %%
from hwsim import pipeline

plan = pipeline.plan("thermal_throttle", sets=["duration=20 s"])
print(plan.profile.name, plan.controller, [stream.checkpoint.name for stream in plan.streams])

# %% [markdown]
# A *plan* is read and checked, and nothing has run yet. It already knows what a frame costs on this device: every site of the network at
# every one of its widths.

# %%
costs = plan.streams[0].costs
for bits in (8, 4, 2):
    assignment = plan.streams[0].checkpoint.graph.uniform(bits)
    cycles, joules = costs.frame_cycles(assignment, 0), costs.frame_energy_joules(assignment)  # 0: the fastest clock
    print(f"{bits} bits: {cycles:,} cycles, {1e3 * cycles / 200e6:.1f} ms at 200 MHz, {1e3 * joules:.0f} mJ")

# %% [markdown]
# A frame comes every 33 ms. At 8 bits the array just keeps up, as long as its clock is not throttled.

# %%
import hwsim

result = hwsim.run("thermal_throttle", changes={"duration": "20 s"}, folder="runs/first", quiet=True)
summary = result.summary
for metric in (
    "frames_arrived",
    "correct_on_time_rate",
    "deadline_miss_rate",
    "mean_weight_bits",
    "mid_frame_switches",
):
    print(f"{metric}: {summary[metric]:.3g}")

# %% [markdown]
# `runs/first` now holds the records. `result.report()` makes a page of them that opens in a browser without a network, `result.plot` draws;
# `hwsim run` does so at once, with a timeline for [Perfetto](https://ui.perfetto.dev).

# %%
print(result.report())
print(sorted(path.name for path in result.folder.glob("*.parquet")))

# %% [markdown]
# The tables are parquet files that any tool reads, and data frames here. Why did bits change, after the first decision at the start?

# %%
for decision in result.decisions()[1:5].itertuples():
    seconds = decision.time_picoseconds * 1e-12
    print(f"{seconds:.2f} s, frame {decision.frame}, from {decision.next_layer} on: {decision.reason}")

# %% [markdown]
# Some of these decisions came in the middle of a frame: its first layers ran at 8 bits, its last ones at 4. No table has an
# accuracy for such a mixture, so the real network has computed every answer under exactly the widths on record. They can be
# computed again from the records alone:

# %%
from hwsim.replay import replay

again = replay(result.folder)
print(f"{again.frames} frames, {again.mixed_frames} of mixed bits, {len(again.differing)} answered otherwise")

# %% [markdown]
# And the energy was counted in three ways that share no state:

# %%
for ledger, joules in summary["energy_ledgers"].items():
    print(f"{ledger}: {joules:.6f}")

# %% [markdown]
# Next: [train your own](train_your_own.md).
