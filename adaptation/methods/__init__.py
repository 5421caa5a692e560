"""Heads: one module a method."""
