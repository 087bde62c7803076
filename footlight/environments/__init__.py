"""Environments of any kind behind one interface; autoreset is handled here and nowhere else."""
