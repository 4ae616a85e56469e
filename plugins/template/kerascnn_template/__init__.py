"""The example of a kerascnn plugin."""
