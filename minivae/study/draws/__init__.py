"""Several draws of held-out users."""
