"""The arithmetic behind the statements."""
