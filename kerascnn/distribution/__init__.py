"""Several devices and several machines: who starts whom, and what all of them decide together.

In the order in which they may import each other; the first five, and `launching`, load no
TensorFlow:

names       which strategies there are
cluster     who the workers of a job are, from the environment that started this process
signals     SIGTERM and Ctrl-C, noted until the step is done
watchdog    other processes, which end this one where it can't do so itself
doors       TensorFlow's server, closed to other machines
workers     what the workers decide together: sums, refusals, when to end
strategies  by name, one object in a process; starts the worker that `cluster` describes, behind
            the door that `doors` closes, watched by `watchdog`
replicas    what a model needs before it runs under a strategy, and before it is saved
launching   starts, watches and ends the workers of a job on this machine

`kerascnn launch` calls `launching.run_job`. Training calls `resolve_strategy`, makes `Workers` of
what it returns, and notes signals while it runs.
"""
