"""Pure tensor functions: each a formula with its source, tested with hand-computed numbers."""
