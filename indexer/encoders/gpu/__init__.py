"""Torch processes, one a GPU."""
