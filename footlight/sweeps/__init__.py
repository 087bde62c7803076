"""Sweeps: many runs whose values are chosen from a space, and which of them is best."""
