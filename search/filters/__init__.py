"""Conditions that a hit has to meet: folder, date, label."""
