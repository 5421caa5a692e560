"""Measuring retrieval and labelling against ground truth."""
