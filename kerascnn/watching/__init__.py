"""What a training shows while it runs: terminal, TensorBoard, statistics, pictures."""
