"""How networks are trained, as data."""
