"""The best trials trained again, and what may be said of them."""
