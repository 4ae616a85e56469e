"""What people see of a training: terminal, TensorBoard, statistics of layers, pictures.

`progress`, `board` and `profiler` are Keras callbacks, which training makes and tells what happens;
each is to be closed at the end. `board` calls the others: `statistics` for what goes on inside the
layers, `mistakes` for what the network gets wrong, `pictures` to draw it, `hparams` for what runs
are compared by, `memory` for how much was needed.
"""
