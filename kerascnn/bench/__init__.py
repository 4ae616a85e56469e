"""Measurements of speed and memory against peers, always as ratios within one call.

`rounds` runs contestants in turn, each in a process of its own; every other module is one
measurement: `infer`, `training`, `building`, `imports`, `data`, and `digits` for whole trainings.
"""
