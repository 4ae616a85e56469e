"""A run directory: its config, checkpoints, evaluation, protocols."""
