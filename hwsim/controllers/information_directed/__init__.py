"""What an information-directed controller is made of: pure functions of arrays, without a simulator.

``target`` says what is worth learning, ``ratio`` how to seek it, ``policy`` joins them into a choice of action and of
how closely to look; ``accuracy_model``, ``thermal_model`` and ``linear_model`` hold what is believed of the network and
of the device, and ``shield`` what may be done at all. After X. Lu, B. Van Roy, V. Dwaracherla, M. Ibrahimi, I. Osband
and Z. Wen, "Reinforcement Learning, Bit by Bit", Foundations and Trends in Machine Learning 16(6), 2023.
"""
