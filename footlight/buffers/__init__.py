"""Where transitions wait until an update is due."""
