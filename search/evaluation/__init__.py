"""Retrieval and labelling measured against ground truth."""
