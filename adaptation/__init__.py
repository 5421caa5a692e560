"""Heads, concepts and models learned from a user's examples, and labels written to sidecars.

torch, scikit-learn and SciPy are imported only while something is trained.
"""
