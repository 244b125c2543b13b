"""Configurations: materials, package and run settings (``hotspot.config``)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from bitmixer.errors import did_you_mean
from hwsim.errors import ConfigurationError
from hwsim.hotspot.lines import Word, read_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What HotSpot's block model takes from its configuration; names are the file's, without the dash.

    Attributes:
        t_chip: Thickness of the die, m; ``k_``: conductivity, W/(m K); ``p_``: volumetric heat capacity, J/(m^3 K).
        t_interface: The same of the interface material under it.
        s_spreader: Side of the heat spreader, m.
        s_sink: Side of the heat sink, m.
        r_convec: Resistance from the sink to ambient, K/W.
        c_convec: Heat capacity of the air that moves with the sink, J/K.
        ambient: Temperature of the air, K.
        init_temp: Temperature of every node at the start, K.
        sampling_intvl: Length of an interval of the power trace, s.
    """

    t_chip: float
    k_chip: float
    p_chip: float
    t_interface: float
    k_interface: float
    p_interface: float
    s_spreader: float
    t_spreader: float
    k_spreader: float
    p_spreader: float
    s_sink: float
    t_sink: float
    k_sink: float
    p_sink: float
    r_convec: float
    c_convec: float
    ambient: float
    init_temp: float
    sampling_intvl: float


USED = tuple(field.name for field in fields(Configuration))

COLDEST_KELVIN = 150.0
"""No packaged chip is colder; degrees Celsius are taken for kelvin below it."""

ONLY = {
    "model_type": ("block", "the grid model is not built"),
    "model_secondary": ("0", "the path through the board exists in the grid model only, which is not built"),
    "package_model_used": ("0", "give r_convec instead"),
    "leakage_used": ("0", "add leakage to the power trace"),
    "dtm_used": ("0", "the trace is taken as it is"),
    "block_omit_lateral": ("0", "heat flows sideways, too"),
    "use_microfluidic_cooling": ("0", "microchannels are not built"),
    "init_file": ("(null)", "every node starts at init_temp"),
    "detailed_3D": ("off", "the grid model is not built"),
}
"""Settings that are accepted at one value alone, and why."""

NO_BEARING = {
    # the path through the board, which the grid model alone has
    "r_convec_sec", "c_convec_sec", "n_metal", "t_metal", "t_c4", "s_c4", "n_c4", "s_sub", "t_sub", "s_solder",
    "t_solder", "s_pcb", "t_pcb",
    # the grid model and its microchannels
    "grid_rows", "grid_cols", "grid_layer_file", "grid_steady_file", "grid_transient_file", "grid_map_mode",
    "pumping_pressure", "pump_internal_res", "inlet_temperature", "coolant_material", "wall_material", "htc",
    # what other programs do with the results
    "thermal_threshold", "steady_file", "base_proc_freq", "leakage_mode", "package_config_file",
}  # fmt: skip
"""Settings of other models and of HotSpot's own output, which change nothing here."""


def load_configuration(file: Path) -> Configuration:
    """Read a configuration: one ``-name value`` a line.

    Raises:
        ConfigurationError: Unreadable, a name is unknown, given twice or missing, or a value is not usable.
    """
    given: dict[str, Word] = {}
    for words in read_lines(file):
        name = words[0].text.removeprefix("-")
        if len(words) != 2 or name == words[0].text:
            raise words[0].error("expected '-name value' on a line")
        if name not in {*USED, *ONLY, *NO_BEARING}:
            raise words[0].error(f"unknown setting -{name}: {did_you_mean(name, {*USED, *ONLY, *NO_BEARING})}")
        if name in given:
            raise words[0].error(f"-{name} is already on line {given[name].line}: keep one")
        given[name] = words[1]
        if name in ONLY and words[1].text != ONLY[name][0]:
            value, reason = ONLY[name]
            raise words[1].error(f"-{name} {words[1].text}: expected {value}; {reason}")
    missing = [f"-{name}" for name in USED if name not in given]
    if missing:
        raise ConfigurationError(f"{file}: missing {', '.join(missing)}: add a line for each, in SI units and kelvin")
    values = {name: given[name].number(f"-{name}", above=0.0) for name in USED}
    for name in ("ambient", "init_temp"):
        if values[name] < COLDEST_KELVIN:
            raise given[name].error(
                f"-{name} {values[name]:g} is in kelvin, and below {COLDEST_KELVIN:g} K: if it is in degrees Celsius, "
                f"write {values[name] + 273.15:g}"
            )
    if values["s_spreader"] >= values["s_sink"]:
        raise given["s_spreader"].error(
            f"-s_spreader {values['s_spreader']:g} is not smaller than -s_sink {values['s_sink']:g}: shrink it"
        )
    return Configuration(**values)
