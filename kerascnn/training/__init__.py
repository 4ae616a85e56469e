"""Training: trainer, assembly, loop, engine, batches, optimizers."""
