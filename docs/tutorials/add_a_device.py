"""Tutorial: a device profile that extends another, and what it changes."""

# %% [markdown]
# # Add a device
#
# A device is a YAML file in which each number has a unit, and either its `source` or an `assumption` with a `range`. A new one can
# extend another and say only what differs. This one puts a heat sink onto the board:

# %%
from pathlib import Path

profile = Path(__file__).parent / "with_heat_sink.yaml"
print(profile.read_text(encoding="utf-8"))

# %% [markdown]
# `hwsim validate with_heat_sink.yaml` checks it with all that it refers to, and counts what is assumed:

# %%
from hwsim.validation import validate_file

print(validate_file(str(profile)).partition(": ")[2])

# %% [markdown]
# What is wrong is told with file, line and column, what was expected and what comes nearest. A sink whose name is misspelt in a link:

# %%
from bitmixer.errors import DocumentError

Path("broken.yaml").write_text(
    profile.read_text(encoding="utf-8").replace("[sink, ambient]", "[snik, ambient]"), encoding="utf-8"
)
try:
    validate_file("broken.yaml")
except DocumentError as error:
    print(error)

# %% [markdown]
# Who wrote which number, and why, stays with the profile; `hwsim profiles show` prints all of them. These are the ones that the sink changed:

# %%
from hwsim.config.profile import load_profile
from hwsim.config.provenance import provenance

for entry in provenance(load_profile(str(profile))):
    if entry.path.startswith("thermal."):
        print(entry.path, "|", entry.value, "|", entry.assumption)

# %% [markdown]
# Does the sink help? A profile is a value like any other: `--set profile=with_heat_sink.yaml`. Three minutes at 8 bits in a box of 52 degrees,
# without outputs, since only heat is asked for:

# %%
import hwsim

hot = {
    "environment.ambient": {"kind": "constant", "temperature": "52 degC"},
    "outputs": "none",
    "streams.0.data": None,
    "duration": "180 s",
}
for name in ("bismo_pynq_z1", str(profile)):
    summary = hwsim.run("thermal_throttle", controller="static", changes={"profile": name, **hot}, quiet=True).summary
    hottest, throttled, late = (
        summary[key] for key in ("peak_die_temperature_celsius", "throttled_seconds", "deadline_miss_rate")
    )
    print(
        f"{Path(name).stem}: {hottest:.1f} degC at most, throttled for {throttled:.0f} s, {100 * late:.1f} % late or lost"
    )

# %% [markdown]
# A whole new device says everything itself: array, memory, energies, clocks, heat, throttling, sensors, limits. `hwsim profiles new NAME` writes one in
# which every field is explained, and `hwsim validate` names what is still missing. Next: [explore a design space](explore.md).
