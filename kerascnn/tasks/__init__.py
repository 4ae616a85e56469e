"""What networks are trained for: the contract, and classification."""
