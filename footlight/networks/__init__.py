"""Forward passes: ordinary modules, their initialisation, and their parameters as flat vectors."""
