"""The controller of the tutorial write_a_controller."""

from hwsim.controllers.base import Decision


class Calm:
    """Two bits while frames wait, eight again once none has waited for a while."""

    wakes_on = frozenset({"tick"})
    tick_picoseconds = 2_000_000_000  # 2 ms
    needs_outputs = False

    def __init__(self, most_waiting=3, calm_ticks=30):
        self.most_waiting, self.calm_ticks = most_waiting, calm_ticks

    def init(self, device, network):
        """Return what holds at first, and the state: bits, and ticks since a frame waited."""
        self.graph = network.graph
        return Decision(widths=self.graph.uniform(8), reason="start"), (8, 0)

    def decide(self, observation, state, generator):
        """Return a decision or nothing, and the next state."""
        (bits, calm), waiting = state, len(observation.queued_deadlines_picoseconds)
        calm = 0 if waiting else calm + 1
        wanted = 2 if waiting >= self.most_waiting else 8 if calm >= self.calm_ticks else bits
        if wanted == bits:
            return None, (bits, calm)
        return Decision(widths=self.graph.uniform(wanted), reason=f"{waiting} wait"), (wanted, calm)
