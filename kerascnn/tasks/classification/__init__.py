"""Classification: each image has one label."""
