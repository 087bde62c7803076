"""The run folder: its readers, plots, videos and the display of a training. Nothing here imports torch."""
