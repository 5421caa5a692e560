"""A bundle's graphs back into torch modules."""
