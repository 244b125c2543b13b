"""Search for the bit assignment that loses least under a budget."""
