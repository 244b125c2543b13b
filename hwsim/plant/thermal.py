"""Heat in a linear RC network, solved exactly for piecewise-constant power.

With x the nodes' rise over ambient, C their heat capacities and B the conductance matrix
(Laplacian of the conductances between nodes, plus those to ambient on the diagonal):

    C dx/dt = -B x + P - C dT_ambient/dt

C^-1/2 B C^-1/2 = V diag(lambda) V^T is symmetric, so that with W = C^-1/2 V and x = W y each mode
follows dy/dt = -lambda y + q, q = W^T (P - C dT_ambient/dt): a scalar equation with a closed form.
The same model and matrices as HotSpot's block model (Skadron et al., ISCA 2003).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwsim.errors import ConfigurationError

FloatArray = NDArray[np.float64]


RELAXATIONS_KEPT = 256
"""Durations whose exponentials a network remembers: those of polls come again and again."""


class Modes(NamedTuple):
    """Eigendecomposition of a network: n modes that relax independently."""

    rates_per_second: FloatArray
    """lambda [n], all positive."""
    shapes: FloatArray
    """W [n nodes, n modes], with W^T C W = 1."""
    projection: FloatArray
    """W^T C [n modes, n nodes]: rise -> mode amplitudes."""
    ambient_drive: FloatArray
    """W^T C 1 [n modes]: how strongly a moving ambient drives each mode."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ThermalNetwork:
    """Heat capacities joined to each other and to ambient by conductances.

    Attributes:
        nodes: Names of the n nodes.
        capacities_joules_per_kelvin: [n], positive.
        conductances_watts_per_kelvin: [n, n], symmetric, zero on the diagonal.
        ambient_conductances_watts_per_kelvin: [n]; every node reaches ambient, directly or through others.

    Raises:
        ConfigurationError: A shape, sign or symmetry is wrong, or a node cannot reach ambient.
    """

    nodes: tuple[str, ...]
    capacities_joules_per_kelvin: FloatArray
    conductances_watts_per_kelvin: FloatArray
    ambient_conductances_watts_per_kelvin: FloatArray

    def __post_init__(self) -> None:
        for field, shape in (
            ("capacities_joules_per_kelvin", (len(self.nodes),)),
            ("conductances_watts_per_kelvin", (len(self.nodes), len(self.nodes))),
            ("ambient_conductances_watts_per_kelvin", (len(self.nodes),)),
        ):
            values = np.array(getattr(self, field), dtype=np.float64)  # a copy: callers keep theirs
            if values.shape != shape or not np.all(np.isfinite(values)) or np.any(values < 0):
                raise ConfigurationError(
                    f"thermal network, {field}: expected finite numbers >= 0 of shape {shape} "
                    f"for nodes {', '.join(self.nodes)}; got shape {values.shape}: {values.tolist()}"
                )
            values.flags.writeable = False
            object.__setattr__(self, field, values)
        self._check_physics()

    def _check_physics(self) -> None:
        between = self.conductances_watts_per_kelvin
        if not self.nodes or np.any(self.capacities_joules_per_kelvin == 0):
            raise ConfigurationError("thermal network: expected one node or more, each with a capacity above 0 J/K")
        if np.any(between != between.T) or np.any(np.diag(between) != 0):
            raise ConfigurationError(
                "thermal network: conductances between nodes must be symmetric, with zeros on the diagonal"
            )
        reached = self.ambient_conductances_watts_per_kelvin > 0
        for _ in self.nodes:
            reached |= np.any(between[:, reached] > 0, axis=1)
        if not reached.all():
            stranded = ", ".join(name for name, reaches in zip(self.nodes, reached, strict=True) if not reaches)
            raise ConfigurationError(
                f"thermal network: heat cannot leave {stranded}: "
                "give it a conductance to ambient, or to a node that has one"
            )

    @cached_property
    def modes(self) -> Modes:
        """The eigendecomposition, computed once."""
        capacities, between = self.capacities_joules_per_kelvin, self.conductances_watts_per_kelvin
        to_ambient = self.ambient_conductances_watts_per_kelvin
        matrix = np.diag(between.sum(axis=1) + to_ambient) - between
        root = np.sqrt(capacities)
        _, vectors = np.linalg.eigh(matrix / np.multiply.outer(root, root))
        shapes = vectors / root[:, None]
        # The solver's eigenvalues err by about 1e-16 of the *largest*, too much for the slowest mode of a
        # stiff network. As dissipated power, a sum of terms >= 0, each keeps its own relative precision.
        differences = shapes[:, None, :] - shapes[None, :, :]
        rates = np.einsum("ab,abk->k", between, differences**2) / 2 + to_ambient @ shapes**2
        projection = shapes.T * capacities
        return Modes(rates, shapes, projection, projection.sum(axis=1))

    @property
    def relaxation_times_seconds(self) -> FloatArray:
        """Time constants of the modes [n], shortest first."""
        return np.sort(1 / self.modes.rates_per_second)

    def outflow_watts(self, rise_kelvin: FloatArray) -> FloatArray:
        """Return the heat [n] that leaves each node, to others and to ambient, at a rise [n] over ambient."""
        between, rise = self.conductances_watts_per_kelvin, rise_kelvin
        to_others = between.sum(axis=1) * rise - between @ rise
        return np.asarray(to_others + self.ambient_conductances_watts_per_kelvin * rise)

    def steady(self, powers_watts: FloatArray) -> FloatArray:
        """Return the rise [n] at which the constant powers [n] leave to ambient, in kelvin."""
        rates, shapes, _, _ = self.modes
        return np.asarray(shapes @ ((powers_watts @ shapes) / rates))

    def advance(
        self,
        rise_kelvin: FloatArray,
        durations_seconds: FloatArray,
        powers_watts: FloatArray,
        ambient_slope_kelvin_per_second: float = 0.0,
    ) -> tuple[FloatArray, FloatArray]:
        """Integrate m segments of constant power at once, exactly.

        Each segment's heat is followed on its own to the end of the sequence: what a mode gained in the
        segment, phi(d) q with phi(t) = (1 - exp(-lambda t)) / lambda, decays over the time that remains.
        No exponent is ever positive, so that no step is too short or too long.

        Args:
            rise_kelvin: Rise over ambient at the start [n].
            durations_seconds: [m].
            powers_watts: [m, n].
            ambient_slope_kelvin_per_second: How fast ambient moves, throughout.

        Returns:
            The rise at the end [n] in kelvin, and its integral over the whole time [n] in kelvin seconds.
        """
        rates, shapes, projection, ambient_drive = self.modes
        ends = durations_seconds.cumsum()
        total = ends[-1]
        drive = powers_watts @ shapes
        if ambient_slope_kelvin_per_second:
            drive -= ambient_slope_kelvin_per_second * ambient_drive
        slowness = -1 / rates
        gain = np.expm1(np.multiply.outer(durations_seconds, -rates)) * slowness
        gain_afterwards = np.expm1(np.multiply.outer(total - ends, -rates)) * slowness
        initial = projection @ rise_kelvin
        initial_decay = np.expm1(total * -rates)

        gained = drive * gain
        lasting = gained * gain_afterwards
        gained_in_all, lasting_in_all = gained.sum(axis=0), lasting.sum(axis=0)
        end = initial + initial * initial_decay + gained_in_all - rates * lasting_in_all
        # The integral is summed from the segments, not taken from the balance of each mode:
        # the heat balance would otherwise hold by construction and check nothing.
        within = (gained_in_all - durations_seconds @ drive) * slowness
        integral = initial * initial_decay * slowness + within + lasting_in_all
        return shapes @ end, shapes @ integral

    def advance_constant(
        self,
        rise_kelvin: FloatArray,
        duration_seconds: float,
        powers_watts: FloatArray,
        ambient_slope_kelvin_per_second: float = 0.0,
    ) -> tuple[FloatArray, FloatArray]:
        """Integrate one segment, exactly, and faster than ``advance`` where its duration comes again.

        Args:
            rise_kelvin: Rise over ambient at the start [n].
            duration_seconds: However long.
            powers_watts: [n].
            ambient_slope_kelvin_per_second: How fast ambient moves, throughout.

        Returns:
            The rise at the end [n] in kelvin, and its integral [n] in kelvin seconds.
        """
        rates, shapes, projection, ambient_drive = self.modes
        gain, lag = self._relaxation(duration_seconds)
        drive = powers_watts @ shapes
        if ambient_slope_kelvin_per_second:
            drive -= ambient_slope_kelvin_per_second * ambient_drive
        initial = projection @ rise_kelvin
        end = initial + gain * (drive - rates * initial)
        return shapes @ end, shapes @ (initial * gain + drive * lag)

    def march(self, rise_kelvin: FloatArray, interval_seconds: float, powers_watts: FloatArray) -> FloatArray:
        """Return the rise after each of m equal intervals of constant power, exactly.

        Args:
            rise_kelvin: Rise over ambient at the start [n].
            interval_seconds: Length of an interval.
            powers_watts: [m, n].

        Returns:
            The rise at the ends of the intervals [m, n], in kelvin.
        """
        rates, shapes, projection, _ = self.modes
        gain = np.expm1(interval_seconds * -rates) / -rates
        decay = np.exp(interval_seconds * -rates)
        amplitudes = powers_watts @ (shapes * gain)
        amplitude = projection @ rise_kelvin
        for gained in amplitudes:
            amplitude = amplitude * decay
            amplitude += gained
            gained[:] = amplitude
        return np.asarray(amplitudes @ shapes.T)

    def step_response(self, node: int, duration_seconds: float) -> tuple[FloatArray, FloatArray]:
        """Return what a watt into ``node`` throughout adds to the rise [n], K/W, and its integral, K s/W."""
        gain, lag = self._relaxation(duration_seconds)
        shapes = self.modes.shapes
        source = shapes[node]
        return shapes @ (gain * source), shapes @ (lag * source)

    def _relaxation(self, duration_seconds: float) -> tuple[FloatArray, FloatArray]:
        """Return what a unit of drive adds to each mode in a duration, and to its integral, as ``advance`` has it."""
        kept = self._relaxations
        if duration_seconds not in kept:
            if len(kept) == RELAXATIONS_KEPT:
                del kept[next(iter(kept))]
            rates = self.modes.rates_per_second
            gain = np.expm1(duration_seconds * -rates) / -rates
            kept[duration_seconds] = gain, (duration_seconds - gain) / rates
        return kept[duration_seconds]

    @cached_property
    def _relaxations(self) -> dict[float, tuple[FloatArray, FloatArray]]:
        return {}
