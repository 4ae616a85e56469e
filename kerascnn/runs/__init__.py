"""What can be done with a run: evaluation on any data, prediction of any files."""
