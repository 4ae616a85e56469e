"""Training: recipes, strategies, the run directory and its callbacks."""
