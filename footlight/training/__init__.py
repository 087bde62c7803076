"""The training loop, its hooks, and the state of a run in progress."""
