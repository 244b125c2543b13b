"""The discrete-event simulation: frames arrive, the accelerator runs them, a controller decides."""
