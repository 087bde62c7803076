"""Agents, policies and their compiled updates."""
