"""Where experience comes from: environments of any kind, one way in; autoreset is understood here and nowhere else."""
