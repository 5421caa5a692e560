"""Codes that propose vectors in large collections."""
