"""Scanning folders: which images they hold, and what has changed since the last run."""
