"""The story of a training, from top to bottom: who calls whom.

trainer       `train` has `preparing.assembled` make an `Assembly` of what it is asked for, and sets
              it going. `resume` makes one of a run's config; `repeat` calls `train` with that.
preparing     `assembled` makes a `Network` of what the user gives (`subject.checked`), refuses what
              can't work (`settings`, `starting`, `callbacks.check`, `keeping.require_monitored`),
              loads the data, fits batch and epochs to it (`sizing`), and writes down all of it as a
              `RunConfig`. A finished run that a training goes on from is an `earlier.Earlier`;
              where it happens, a `place.Place`.
assembly      `Assembly.carry_out` builds the model under the strategy, has `starting.start` put its
              first weights in place (`initialization`: as papers state them), makes optimizer,
              the task's `Objective` and the engine, then the run directory. It has `State.restore`
              put the last checkpoint in place, makes the callbacks that watch (terminal,
              TensorBoard, profiler), and calls `Loop.run`.
loop          `Loop.run` goes through the epochs that are left. In each it calls `Engine.update` for
              the updates, the `Evaluator` for validation, the callbacks, and `State.complete`; in
              the end `Ending.complete`, or `Ending.cut_short` when a signal asks for it.
freezing      `Freezing.during` an epoch lets only thawed layers learn.
pace          Before each call of the engine, all workers agree in `Pace.agree` of how many steps it
              is, and whether the training ends here.
engine        `Engine.update` takes batches from a pipeline and changes the weights;
              `Engine.evaluate` counts what the objective says. Nothing else knows replicas and
              gradients.
optimizers    `make_optimizer` gives the engine's; `follow_history` sets its rate before an epoch.
batches       `training_batches` and `evaluation_batches` are these pipelines.
evaluator     `Evaluator` calls `Engine.evaluate` over a whole split of the data.
callbacks     `Given` tells the user's own callbacks what happens, and finds what they change.
state         `State.complete` adds an epoch to history.csv and saves a checkpoint; `State.hold`
              puts the weights in place that the recipe keeps (`keeping`: which epoch is the best).
keeper        `Keeper.keep` writes the model after the epochs that were asked for.
ending        `Ending.complete` evaluates these weights, and writes model.keras, metrics.json and
              curves.png.
ablation      `ablate` calls `train` with everything and without one part after the other, and
              `resume` for what was ended.
range_test    `find_rate` trains a few steps with a growing rate; the assembly is a training's.
sheets        `draw_sheets` draws what the last layers have learned, if that was asked for.
"""
