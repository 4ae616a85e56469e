"""The directory that a search leaves behind, and what can be read from it."""
