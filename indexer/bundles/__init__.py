"""Compiled models on disk: their names, files, checksums and cache."""
