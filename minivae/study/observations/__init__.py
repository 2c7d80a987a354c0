"""What trained models show of the theory."""
