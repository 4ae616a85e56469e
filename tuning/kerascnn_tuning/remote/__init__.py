"""A chief and its workers, on one machine or many."""
