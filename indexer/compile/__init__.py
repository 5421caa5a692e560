"""Compiling a model into a bundle: export, verification, int8."""
