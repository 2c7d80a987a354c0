"""The statements of the paper as functions: one module for each mechanism."""

from minivae.theory import bottleneck, distances, locality

__all__ = ["bottleneck", "distances", "locality"]
