"""Classification: each image has one label.

- `task`: the task itself; `counting`: what a training minimises and counts;
- `evaluation`: what a trained classifier is worth, by `measures`, seen through the views of
  `protocols`; `figures` shows and saves it;
- `predictions`: the likeliest classes, written; `mistakes`: what is drawn while it trains.
"""

from kerascnn.tasks.measure import Measure

ERROR = Measure(name="error", title="Top-1 error", complement="accuracy")
