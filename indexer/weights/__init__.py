"""Turning a bundle's graphs back into torch modules."""
