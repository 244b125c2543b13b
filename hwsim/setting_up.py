"""From a plan to what the simulator needs of it."""

from __future__ import annotations

from hwsim.controllers import build_controller
from hwsim.planning import Plan, PlannedStream, answer_limit_seconds
from hwsim.simulation.incoming import StreamSetup
from hwsim.simulation.learning import LearningSetup
from hwsim.simulation.setup import Setup
from hwsim.surroundings import (
    build_ambient,
    build_arrivals,
    build_fault,
    build_loads,
    build_outages,
    build_power,
    build_shared_dram,
)


def simulation_setup(planned: Plan, *available_inputs: int) -> Setup:
    """Return what the simulator needs of a plan.

    Args:
        planned: The plan.
        available_inputs: For each stream, the size of the test split that its frames draw their inputs from.
    """
    scenario = planned.scenario
    return Setup(
        device=planned.device,
        told_device=planned.told_device,
        streams=tuple(
            _stream_setup(stream, available)
            for stream, available in zip(planned.streams, available_inputs, strict=True)
        ),
        ambient=build_ambient(scenario.environment.ambient),
        shared_dram=build_shared_dram(scenario.environment.memory_traffic, planned.device.memory),
        queue_capacity=scenario.queue.capacity,
        drop_expired=scenario.queue.drop_expired,
        decisions=scenario.decisions,
        duration_picoseconds=scenario.duration_picoseconds,
        telemetry_picoseconds=scenario.telemetry_period_picoseconds,
        initial_state=scenario.initial_state,
        initial_state_of_charge=scenario.initial_state_of_charge,
        harvest=build_power(scenario.environment.harvest),
        loads=build_loads(scenario.environment.co_running_loads, planned.device.thermal_network.nodes),
        seed=scenario.seed,
        faults=tuple(map(build_fault, scenario.faults)),
        learning=_learning_setup(planned),
    )


def _learning_setup(planned: Plan) -> LearningSetup | None:
    learning = planned.learning
    if learning is None:
        return None
    return LearningSetup(
        name=learning.name, stream=learning.stream, costs=learning.costs, inputs=learning.settings.inputs,
        period_picoseconds=learning.settings.period_picoseconds,
        delay_picoseconds=learning.settings.delay_picoseconds,
        duration_picoseconds=planned.scenario.duration_picoseconds,
    )  # fmt: skip


def _stream_setup(planned: PlannedStream, available_inputs: int) -> StreamSetup:
    stream = planned.stream
    return StreamSetup(
        name=stream.name,
        priority=stream.priority,
        graph=planned.checkpoint.graph,
        costs=planned.costs,
        told_costs=planned.told_costs,
        controller=build_controller(planned.controller.name, planned.controller.options),
        safe=planned.safe,
        answer_limit_seconds=answer_limit_seconds(planned.controller),
        accuracies=planned.checkpoint.accuracies,
        arrivals=build_arrivals(stream.arrivals),
        link_outages=build_outages(stream.link_outages),
        inputs_per_frame=stream.inputs_per_frame,
        available_inputs=available_inputs,
        deadline_picoseconds=stream.deadline_picoseconds,
    )
