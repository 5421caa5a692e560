"""Naming what an image shows: zero-shot labels, heads, saved labels."""
