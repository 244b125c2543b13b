"""A bit-serial accelerator on a hot device, simulated, with a real network's outputs.

scenario -> device + layer graph -> cost table -> simulation <-> controller -> outputs -> records -> figures:
``hwsim.pipeline`` holds it on one page.
"""

__version__ = "0.1.0"
