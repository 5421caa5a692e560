"""Classifiers of texts: the same ways to learn as for images, on a text encoder's vectors."""
