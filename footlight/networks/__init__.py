"""Forward passes: ordinary modules, their initialization, and their parameters as flat vectors."""
