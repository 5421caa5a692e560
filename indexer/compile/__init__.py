"""A model into a bundle: export, verification, int8."""
