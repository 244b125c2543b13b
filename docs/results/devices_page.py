"""The page docs/results/devices.md, in words: devices.py writes it."""

from __future__ import annotations

from typing import Any

MLPERF = "MLPerf Tiny v1.0, mlcommons/tiny_results_v1.0@c7761cf"
CORAL = "Coral Accelerator Module datasheet 1.4"
UNPU = "Lee et al., JSSC 2019, abstract"
GLASSES = "arXiv:2311.01057, abstract"
KANG = "Kang et al., MobiCom 2019, abstract"
DRIVER = "google/gasket-driver@5815ee3"
DEVICE_TREE = "armbian/linux-rockchip@04cc2e1, rk3588s.dtsi"
MEASURED = {240.0: (27.711, 1043.8), 370.0: (40.356, 1608.0)}
"""MHz -> uJ per inference of ResNet-8 and inferences per second, of GAP9."""


def written(found: dict[str, Any]) -> str:
    """Return the page."""
    parts = [_head(found), _table(rows(found)), _gap9(found["gap9"]), _misses(found)]
    return "\n\n".join(parts) + "\n"


def _head(found: dict[str, Any]) -> str:
    return (
        "# Devices, against what is published\n\n"
        "Written by `devices.py` from its twin `devices.json`; nothing is typed by hand but what others published. "
        f"`{found['command']}`, seed {found['seed']}; machine: {found['machine']}.\n\n"
        "*By construction*: the profile was made from this very figure, so that the ratio says that the arithmetic is right and "
        "nothing of the device. No other figure was solved for, but all were known as the profiles were written, so that none is a blind prediction. Of GAP9's results "
        "clocks and voltages went into the profile; its energy per operation is the vendor's. *Revised* says that assumptions were changed, within their "
        "ranges, after a first comparison: `edge_tpu_module`'s memory was split 4 + 4 instead of 6 + 2 MiB (73 frames/s before), `phone`'s constant power "
        "raised from 1.3 to 2 W (a rise of 11 K before). `hwsim profiles show NAME` has every number."
    )


def _row(device: str, what: str, published: tuple[float, str, str], ours: float, why: str) -> list[str]:
    value, unit, source = published
    ratio = ours / value
    return [f"`{device}`", what, f"{value:g} {unit}", source, f"{ours:.4g} {unit}", f"{ratio:.2f}", why]


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the rows of the table: device, what, published, where, profile, ratio, why."""
    tpu, loads, runs = found["edge_tpu_module"]["points"][0], found["full_load"], found["throttled"]
    edge, glasses = loads["edge_tpu_module"], loads["wearable"]
    engine = glasses["array_watts"] * 17e-3
    life = glasses["battery_joules"] / (glasses["rest_watts"] + 18 * engine) / 3600
    table = [
        _row(
            "bismo_pynq_z1",
            "peak",
            (6.5, "binary TOPS", "EECS-NTNU/bismo@b388d78"),
            found["bismo"]["binary_tops"],
            "by construction",
        )
    ]
    for point in found["gap9"]["points"]:
        joules, rate = MEASURED[point["megahertz"]]
        at = f"{point['volts']:.2f} V, {point['megahertz']:g} MHz"
        table.append(
            _row("gap9", f"ResNet-8, 8 bits, {at}", (joules, "uJ", MLPERF), point["microjoules"], "below, term by term")
        )
        table.append(
            _row(
                "gap9",
                f"the same, time, {at}",
                (1e3 / rate, "ms", MLPERF),
                point["milliseconds"],
                "software is not modelled",
            )
        )
    low, high = found["gap9"]["points"][1]["microjoules"], found["gap9"]["points"][0]["microjoules"]
    runs_edge, runs_rk, runs_phone = runs["edge_tpu_module"], runs["rk3588_npu"], runs["phone"]
    return [
        *table,
        _row("gap9", "energy at 0.80 V over that at 0.65 V", (40.356 / 27.711, "", MLPERF), high / low, "V squared, and rest"),
        _row("wearable", "17 ms of inference", (1.59, "mJ", GLASSES), 1e3 * engine, "the engine's full load; theirs is not full"),
        _row("wearable", "hours at 18 frames/s on 154 mAh", (9.3, "h", GLASSES), life, "rest of the glasses by construction"),
        _row("edge_tpu_module", "peak", (4, "TOPS", CORAL), 2 * 64 * 64 * edge["megahertz"] * 1e-6, "64 x 64 cells; by construction"),
        _row("edge_tpu_module", "power at full load", (2, "W", CORAL), edge["array_watts"] + edge["rest_watts"], "by construction"),
        _row("edge_tpu_module", "MobileNetV2, frames/s (\"almost 400\")", (400, "1/s", CORAL), 1e3 / tpu["milliseconds"], "revised; below"),
        _row("edge_tpu_module", "MobileNetV2, at most", (5, "mJ", f"2 W / 400, {CORAL}"), tpu["microjoules"] / 1e3, "revised; below"),
        _row("edge_tpu_module", "throttles at", (85, "degC", DRIVER), runs_edge["celsius"], _time_to(runs_edge, "the rule is the driver's, polled every 5 s")),
        _row("rk3588_npu", "peak", (6, "TOPS", "vendor"), 2 * 3072 * loads["rk3588_npu"]["megahertz"] * 1e-6, "3 x 1024 cells; by construction"),
        _row("rk3588_npu", "throttles at", (85, "degC", DEVICE_TREE), runs_rk["celsius"], _time_to(runs_rk, "the rule is the device tree's, polled every second by a sensor of 0.5 K and its noise")),
        *(
            _row("unpu_65nm", f"{what}, {bits}-bit weights", (value, unit, UNPU), found["unpu"][str(bits)][key], "by construction")
            for bits, pairs in {
                16: [("peak", "gops", 345.6, "GOPS"), ("efficiency", "tops_per_watt", 3.08, "TOPS/W")],
                1: [("peak", "gops", 7372, "GOPS"), ("efficiency", "tops_per_watt", 50.6, "TOPS/W")],
            }.items()
            for what, key, value, unit in pairs
        ),
        _row("phone", "rise of the skin in 10 minutes (\"over 50 degC\")", (25, "K", KANG),
             runs_phone["celsius_after_600_seconds"] - runs_phone["ambient_celsius"], "revised; below"),
    ]  # fmt: skip


def _time_to(run: dict[str, Any], polled: str) -> str:
    return (
        f"after {run['seconds']:g} s of ResNet-18 in {run['ambient_celsius']} degC; {polled}; then at most {run['cap_megahertz']:g} MHz. "
        "No time is published"
    )


def _table(rows: list[list[str]]) -> str:
    head = ["device", "what", "published", "where", "profile", "ratio", "why"]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def _gap9(found: dict[str, Any]) -> str:
    slow = next(point for point in found["points"] if point["megahertz"] == 240.0)
    joules, rate = MEASURED[240.0]
    total, low, high = slow["microjoules"], *found["range_microjoules"]
    rows = [
        [f"`{action}`", f"{found['counts'][action]:,}", f"{value:.2f} uJ", f"{100 * value / total:.0f} %"]
        for action, value in slow["terms"].items() if action in found["counts"]
    ]  # fmt: skip
    rest = slow["terms"]["at_rest"]
    rows.append(["at rest", f"{slow['milliseconds']:.3f} ms of 3 mW", f"{rest:.2f} uJ", f"{100 * rest / total:.0f} %"])
    rows.append(["in all", "", f"{total:.2f} uJ", ""])
    table = "\n".join(
        "| " + " | ".join(row) + " |" for row in [["action", "count", "energy", "share"], ["---"] * 4, *rows]
    )
    longer = 1e3 / rate - slow["milliseconds"]
    idle = 3.0 * longer
    remaining = joules - total - idle
    return (
        "## ResNet-8 on gap9, term by term\n\n"
        f"{found['macs']:,} multiply-accumulates of 8 bits at 0.65 V and 240 MHz; measured {joules} uJ, here {total:.1f} uJ, "
        f"{total / joules:.2f} of it (target: within a factor of 3, {'held' if 1 / 3 <= total / joules <= 3 else 'MISSED'}).\n\n"
        f"{table}\n\n"
        f"What is missing, {joules - total:.1f} uJ, in the terms above:\n\n"
        f"- **Time.** The chip takes {240e6 / rate:,.0f} cycles, the profile {slow['cycles']:,}, as nothing of its software is modelled: "
        "starting layers, moving tiles between its memories, additions and pools on its cores. (Its cycles are the same at both clocks, so "
        f"it does not wait for memory.) {longer:.3f} ms more at the 3 mW of rest are {idle:.1f} uJ.\n"
        f"- **Work in that time.** The remaining {remaining:.1f} uJ are {remaining / longer:.1f} mW over it: cores and transfers at work, which is "
        "plausible for a cluster of nine cores at 240 MHz; no figure for it was found.\n"
        "- **The energy of a multiply-accumulate** (`array_cycle`, `buffer_bit`, `binary_mac`) is the 1 mW per GOPS that was announced, taken to "
        f"hold at 0.8 V. It does not say so; had it been meant at 0.65 V, the sum would be {_unscaled(found, slow):.1f} uJ.\n"
        f"- **Ranges.** With every energy at the low and at the high end of its range at once, dynamic energy at 0.8 V is {low:.1f} and {high:.1f} uJ; "
        "the measured 40.4 uJ lie between.\n"
        "- **Memory outside** hardly counts: 78 000 weights stay on the chip, only image and logits move."
    )


def _unscaled(found: dict[str, Any], slow: dict[str, Any]) -> float:
    """Return the energy at 240 MHz if the profile's energies held at 0.65 V."""
    fast = next(point for point in found["points"] if point["megahertz"] == 370.0)
    return float(sum(fast["terms"].values()) - fast["terms"]["at_rest"] + slow["terms"]["at_rest"])


def _misses(found: dict[str, Any]) -> str:
    tpu, phone = found["edge_tpu_module"]["points"][0], found["throttled"]["phone"]
    per_cell = found["edge_tpu_module"]["macs"] / 4096
    when = (
        "never caps its clock in 20 minutes"
        if phone["seconds"] is None
        else f"caps its clock after {phone['seconds']:g} s"
    )
    return (
        "## What is missed\n\n"
        f"- **MobileNetV2 on edge_tpu_module** takes {tpu['milliseconds']:.1f} ms and {tpu['microjoules'] / 1e3:.1f} mJ, {tpu['milliseconds'] / 2.5:.1f} times "
        f"the published time and {tpu['microjoules'] / 5e3:.1f} times the energy. {tpu['cycles']:,} cycles for work that would fill "
        f"{per_cell:,.0f}: a plain weight-stationary array does depthwise layers channel by channel, one column of 64 at work, and fills and "
        "drains for each. The real one must do them otherwise; how is not published. Energy follows, as a cycle costs the same however "
        "few cells work. For layers without groups the profile is near its peak.\n"
        f"- **phone**: after 10 minutes of full load at {phone['mean_watts']:.1f} W in the mean its skin is at {phone['celsius_after_600_seconds']:.1f} degC, from "
        f"{phone['ambient_celsius']} degC; it {when}. The phones of the study got above 50 degC somewhere on their surface in that time, at a power "
        "that its abstract does not give: a camera sees the hottest spot, while the skin is one node here, and a video chat has camera, radio and display "
        "at work. Resistances and capacities are assumed, as no measured set was read.\n"
        "- **rk3588_npu**: no figure of the NPU's own power was found. Its 0.5 pJ per multiply-accumulate is a guess within 0.2 to 1, so energies of this "
        "profile are good for comparisons between bits and clocks on it, not between devices."
    )
