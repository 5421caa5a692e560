"""Folders on disk: what they hold, and what has changed since the last run."""
