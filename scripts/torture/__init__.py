"""Tries to break clipdex: hostile files by the thousand."""
