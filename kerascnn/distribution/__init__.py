"""One training on several devices and machines."""
