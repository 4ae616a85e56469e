"""Strategies, workers, launching, watchdog, signals."""
