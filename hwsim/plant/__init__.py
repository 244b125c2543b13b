"""The plant: all physics that is controlled. Knows nothing of networks, arrays or controllers."""
