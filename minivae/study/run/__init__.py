"""From a preset to finished runs and their numbers."""
