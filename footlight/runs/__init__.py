"""The run folder: writing, reading, verification, trackers. Nothing here imports torch."""
