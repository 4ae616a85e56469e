"""Classification: each image has one label."""

from kerascnn.tasks.measure import Measure

ERROR = Measure(name="error", title="Top-1 error", complement="accuracy")
