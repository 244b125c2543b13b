"""Scenarios and device profiles: YAML files, read into frozen models."""
