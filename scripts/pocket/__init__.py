"""The recipe of the built-in model: see __main__.py."""
