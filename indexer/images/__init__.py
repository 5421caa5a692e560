"""Image files: formats, decoding, color, capture times, and preprocessing for a model."""
