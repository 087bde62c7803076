"""Fields, options and presets: what a user may set."""
