"""Tutorial: a rule of one's own, run, compared, asked again, and tested."""

# %% [markdown]
# # Write a controller
#
# A controller is a class with two methods. It is told what a device can know of itself, and returns widths for layers that have
# not begun. Here is one that looks at its queue:

# %%
import inspect

from calm import Calm

print(inspect.getsource(Calm))

# %% [markdown]
# All that it remembers is in the state that it returns, so that it can be asked again later. It lies in a file `calm.py` that Python can
# import, and is used by its place, options behind it; `hwsim run burst_deadlines --controller calm:Calm:most_waiting=2` does the same.

# %%
import hwsim

for controller in ("static", "static:bits=2", "calm:Calm", "calm:Calm:most_waiting=6"):
    folder = "runs/" + controller.replace(":", "-")
    result = hwsim.run("burst_deadlines", controller=controller, changes={"duration": "4 s"}, folder=folder, quiet=True)
    summary = result.summary
    right, bits = 100 * summary["correct_on_time_rate"], summary["mean_weight_bits"]
    print(
        f"{controller}: {right:.1f} % right and on time, {bits:.2f} bits, {summary['mid_frame_switches']} switches in mid-frame"
    )

# %% [markdown]
# Observations and answers are on record, so that a rule can be asked again without simulating anything; a change in it shows up as the first
# decision that differs:

# %%
from pathlib import Path

from hwsim.decision_replay import replay_decisions

folder = Path("runs/calm-Calm")
same = replay_decisions(folder, controller="calm:Calm")
print(f"{same.asked} questions, {same.decided} decisions, {len(same.differing)} differ")
later = replay_decisions(folder, controller="calm:Calm:calm_ticks=60")
print(f"with calm_ticks=60 {len(later.differing)} differs, at {later.differing[0].time_picoseconds * 1e-12:.3f} s")

# %% [markdown]
# The suite that the shipped rules pass is there for yours. It holds a controller to its contract: it keeps nothing outside of its state, it
# answers every observation, silent sensors included, with widths that the network has.

# %%
from hwsim.testing import ControllerConformance


class TestCalm(ControllerConformance):
    """In a file of its own, for pytest."""

    def make(self):
        return Calm()


print([name for name in dir(TestCalm) if name.startswith("test_")])

# %% [markdown]
# With an entry point in your package's `pyproject.toml` the rule has a name like ours: [controllers.md](../controllers.md#your-own).
# Next: [add a device](add_a_device.md).
