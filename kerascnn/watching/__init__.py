"""What people see of a training: terminal, TensorBoard, statistics of layers, curves.

`progress`, `board`, `profiler` and `loggers` are Keras callbacks, which training makes and tells
what happens; each is to be closed at the end. `board` calls `statistics` for what goes on inside
the layers, `hparams` for what runs are compared by, and `memory` for how much was needed; what the
network gets right and wrong the task draws (`kerascnn.tasks.Task.pictures`). `loggers` tells other
tools: `mlflow_logger`, `wandb_logger`. `curves` draws loss, measure and learning rate over the
epochs, when training is done.
"""
