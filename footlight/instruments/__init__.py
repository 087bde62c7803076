"""Plots, progress, videos, the critic probe, ONNX."""
